"""The records of several hosts, joined to one: what the environment as a whole serves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from gitops_ml.core.journal.fold import fold_entries
from gitops_ml.core.records.joined import joined
from gitops_ml.core.records.record import Record, record_path, updated
from gitops_ml.core.records.verified import promotable, serves_verified, verified_attempts
from gitops_ml.errors import InputError
from tests.unit.builders import NAME, generation
from tests.unit.journals import failed, promoted

V1, V2 = generation("v1"), generation("v2")
OLD, NEW, STOPPED = promoted(V1), [*promoted(V1), *promoted(V2, V1)], [*promoted(V1), *failed(V2, V1)]


def record(entries: list, engine: str) -> Record:  # type: ignore[type-arg]
    return updated(None, fold_entries(entries).of(NAME), NAME, engine)


def test_each_host_has_a_file_of_its_own() -> None:
    assert record_path("edge@leeds.example.org", NAME) == f"environments/edge/records/leeds.example.org/{NAME}.yaml"
    assert record_path("edge", NAME) == f"environments/edge/records/{NAME}.yaml"


def test_what_all_hosts_serve_can_be_promoted() -> None:
    hosts = [record(NEW, "a"), record(NEW, "b")]
    whole = joined(hosts)
    standing, since = promotable("edge", NAME, whole)
    assert (standing.version, since) == ("v2", promotable("edge", NAME, hosts[1])[1])
    assert len(whole.attempts) == 4 and since - since == timedelta()


@pytest.mark.parametrize("other", [record(OLD, "b"), record(STOPPED, "b"), None])
def test_what_one_host_does_not_serve_cannot_be_promoted(other: Record | None) -> None:
    whole = joined([record(NEW, "a"), other])
    assert whole.serving is None and whole.verified is None
    with pytest.raises(InputError, match="nothing to promote"):
        promotable("edge", NAME, whole)


def test_what_failed_on_one_host_is_verified_for_none() -> None:
    whole = joined([record(NEW, "a"), record(STOPPED, "b")])
    assert [a.version for a in verified_attempts(whole)] == ["v1", "v1"]
    assert {a.verdict for a in whole.attempts if a.generation == V2.fingerprint} == {"Failed"}


def test_a_host_is_done_once_it_serves_the_version_as_verified() -> None:
    new, old = V2.fingerprint, V1.fingerprint
    assert serves_verified(record(NEW, "a"), new) and not serves_verified(record(NEW, "a"), old)
    assert not serves_verified(record(STOPPED, "a"), new) and not serves_verified(None, new)
