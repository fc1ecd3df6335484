"""What is written back into Git: a deployment's record, its commit's message, and what a revert restores."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.clients.files.records import read_record, write_record
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.journal.entries import Judged
from gitops_ml.core.journal.fold import Entry, fold_entries
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.records.record import Record, commit_message, restored_fields, updated, wants_revert
from gitops_ml.core.records.verified import promotable, verified_attempts
from tests.unit.builders import NAME, generation
from tests.unit.journals import built, failed, intent, judged, promoted, settled

V1, V2 = generation("v1"), generation("v2")
ROLLED_BACK = [*promoted(V1), *failed(V2, V1)]


def attempt(*entries: Entry) -> Attempt:
    state = fold_entries(entries).of(NAME).last
    assert state
    return state


def record(*entries: Entry, previous: Record | None = None) -> Record:
    return updated(previous, fold_entries(entries).of(NAME), NAME, "engine-1")


def declaration(**fields: Any) -> Deployment:
    return msgspec.convert({"schema": 1, "model": "churn", "version": "v1", **fields}, Deployment)


# --- the record ------------------------------------------------------------------------------------------------------


def test_the_record_of_a_verified_version() -> None:
    written = record(*promoted(V1))
    assert (written.deployment, written.engine, written.verdict) == (NAME, "engine-1", "Verified")
    assert written.serving == written.verified
    assert written.verified and (written.verified.version, written.verified.commit) == ("v1", V1.commit)
    (recorded,) = written.attempts
    assert (recorded.outcome, recorded.strategy, recorded.checks[0].name) == ("promoted", "blue-green", "smoke")


def test_the_record_of_a_version_that_failed_over_its_incumbent() -> None:
    written = record(*ROLLED_BACK)
    assert written.verdict == "Failed"
    assert written.serving and written.verified and written.serving.version == written.verified.version == "v1"
    assert [(a.version, a.outcome, a.incumbent) for a in written.attempts] == [
        ("v2", "failed", "v1"),
        ("v1", "promoted", None),
    ]


def test_the_record_of_a_first_version_that_failed() -> None:
    written = record(*failed(V1))
    assert (written.verdict, written.serving, written.verified) == ("Failed", None, None)


def test_only_a_failed_attempt_keeps_the_end_of_its_logs() -> None:
    logs = "\n".join(f"line {n}" for n in range(50))
    bad = msgspec.structs.replace(judged(V2, "Failed"), logs=logs)
    good = msgspec.structs.replace(judged(V1), logs=logs)
    written = record(intent(V1), good, settled(V1), intent(V2, V1), bad, settled(V2, "failed"))
    assert written.attempts[0].logs == tuple(f"line {n}" for n in range(30, 50))
    assert written.attempts[1].logs == ()


def test_a_superseded_attempt_is_not_recorded() -> None:
    assert record(*promoted(V1), intent(V2, V1), settled(V2, "superseded")) == record(*promoted(V1))


def test_a_record_written_twice_is_the_same() -> None:
    once = record(*ROLLED_BACK)
    assert record(*ROLLED_BACK, previous=once) == once


def test_a_new_hosts_journal_keeps_the_attempts_of_the_record() -> None:
    before = record(*ROLLED_BACK)
    boot = msgspec.structs.replace(intent(V1, boot=True), attempt="boot-1")
    after = record(boot, built(V1), previous=before)
    assert after.verified == before.verified
    assert [a.id for a in after.attempts] == [a.id for a in before.attempts]


def test_the_newest_twenty_attempts_are_recorded() -> None:
    def rollout(number: int) -> list[Entry]:
        again = {"attempt": f"a{number:02}"}
        at = f"2026-11-23T08:00:{number:02}+00:00"
        return [
            msgspec.structs.replace(intent(V2, V1), **again),
            msgspec.structs.replace(judged(V2, "Failed"), **again),
            msgspec.structs.replace(settled(V2, "failed"), at=at, **again),
        ]

    before = record(*(entry for n in range(15) for entry in rollout(n)))
    after = record(*(entry for n in range(15, 30) for entry in rollout(n)), previous=before)
    assert [a.id for a in after.attempts] == [f"a{n:02}" for n in range(29, 9, -1)]


def test_what_serves_stays_verified_after_any_number_of_failed_candidates() -> None:
    """Else it could not be promoted, nor rolled back to, after 20 of them."""

    def candidate(number: int) -> list[Entry]:
        again = {"attempt": f"a{number:02}"}
        at = f"2026-11-23T09:00:{number:02}+00:00"
        return [
            msgspec.structs.replace(intent(V2, V1), **again),
            msgspec.structs.replace(judged(V2, "Failed"), **again),
            msgspec.structs.replace(settled(V2, "failed"), at=at, **again),
        ]

    entries = [*promoted(V1), *(entry for number in range(45) for entry in candidate(number))]
    at_once = record(*entries)
    state = fold_entries(entries).of(NAME)
    assert [a.verdict for a in state.attempts if a.generation.version == "v1"] == ["Verified"]
    bit_by_bit = None
    for number in range(4, len(entries) + 1):
        bit_by_bit = record(*entries[:number], previous=bit_by_bit)
    for written in (at_once, bit_by_bit):
        assert written and len(written.attempts) == 20
        assert promotable("prod", NAME, written)[0].version == "v1"
        assert [a.version for a in verified_attempts(written)] == ["v1"]
        assert [a.id for a in written.attempts[:19]] == [f"a{n:02}" for n in range(44, 25, -1)]


def test_a_failed_review_is_not_forgotten_before_what_it_took_back() -> None:
    once = record(*promoted(V1))
    promotion = once.attempts[0]
    review = msgspec.structs.replace(
        promotion, id="review", outcome="reviewed", verdict="Failed", settled="2026-11-23T08:30:00+00:00"
    )
    before = msgspec.structs.replace(once, verified=None, attempts=(review, promotion))
    later = [
        msgspec.structs.replace(
            promotion, id=f"a{n:02}", generation="x", outcome="failed", settled=f"2026-11-23T09:00:{n:02}+00:00"
        )
        for n in range(20)
    ]
    state = fold_entries(promoted(V1)).of(NAME)
    after = updated(msgspec.structs.replace(before, attempts=(*later, *before.attempts)), state, NAME, "engine-1")
    assert {"review", promotion.id} <= {a.id for a in after.attempts}
    assert list(verified_attempts(after)) == []


def test_a_record_survives_its_file() -> None:
    whole = record(*ROLLED_BACK)
    assert read_record(write_record(whole), "records/churn.yaml") == whole


@pytest.mark.parametrize("data", [b"", b"a: [", b"schema: 1\n", b"[]\n", b"\xff"])
def test_a_broken_record_counts_as_none(data: bytes) -> None:
    assert read_record(data, "records/churn.yaml") is None


# --- the revert ------------------------------------------------------------------------------------------------------


def test_a_failure_over_an_incumbent_asks_for_a_revert() -> None:
    assert wants_revert(attempt(*ROLLED_BACK), declaration(), auto_revert=True)


@pytest.mark.parametrize(
    ("entries", "fields", "auto_revert"),
    [
        pytest.param(ROLLED_BACK, {}, False, id="the policy says no"),
        pytest.param(ROLLED_BACK, {"on_failure": ["retrain"]}, True, id="the deployment says no"),
        pytest.param([*promoted(V1), *failed(V2, V1, "inconclusive")], {}, True, id="inconclusive"),
        pytest.param(failed(V1), {}, True, id="first of its deployment"),
        pytest.param(promoted(V1), {}, True, id="it went well"),
        pytest.param([*promoted(V1), intent(V2, V1), settled(V2, "superseded")], {}, True, id="superseded"),
        pytest.param([intent(V1, V2, boot=True), judged(V1, "Failed"), settled(V1, "failed")], {}, True, id="a boot"),
    ],
)
def test_no_other_attempt_asks_for_a_revert(entries: list[Entry], fields: dict[str, Any], auto_revert: bool) -> None:
    assert not wants_revert(attempt(*entries), declaration(**fields), auto_revert)


def test_a_revert_restores_the_fields_of_the_fingerprint_and_no_others() -> None:
    verified = declaration(
        digest="md5:" + "a" * 32,
        replicas=3,
        env={"A": "1"},
        resources={"memory": "1g"},
        rollout={"strategy": "recreate"},
        hold={"reason": "x"},
    )
    assert restored_fields(verified) == {
        "model": "churn",
        "version": "v1",
        "digest": "md5:" + "a" * 32,
        "resources": {"cpus": 1.0, "memory": "1g", "pids": 256, "gpus": 0},
        "env": {"A": "1"},
        "secrets": None,
        "serve": None,
    }


# --- the message -----------------------------------------------------------------------------------------------------


def test_the_message_of_one_verdict() -> None:
    assert commit_message("prod", [attempt(*promoted(V1))], {}) == (
        "Record prod/churn v1: verified\n\n- churn: smoke pass, it answers\n\nGitops-ML-Attempt: attempt-churn-v1\n"
    )


def test_the_message_of_a_revert() -> None:
    bad = judged(V2, "Failed", "the answer to the example request holds no data")
    failed_attempt = attempt(*promoted(V1), intent(V2, V1), bad, settled(V2, "failed"))
    assert commit_message("prod", [failed_attempt], {NAME: "v1"}) == (
        "Record prod/churn v2: failed, reverted to v1\n"
        "\n"
        "- churn: smoke fail, the answer to the example request holds no data\n"
        "\n"
        "Gitops-ML-Attempt: attempt-churn-v2\n"
    )


def test_the_message_of_several_verdicts() -> None:
    other = generation("v1", "other")
    second = fold_entries(promoted(other)).of("other").last
    assert second
    assert commit_message("prod", [attempt(*ROLLED_BACK), second], {}) == (
        "Record 2 verdicts\n"
        "\n"
        "prod/churn v2: failed\n"
        "prod/other v1: verified\n"
        "\n"
        "- churn: smoke fail, it answers\n"
        "- other: smoke pass, it answers\n"
        "\n"
        "Gitops-ML-Attempt: attempt-churn-v2\n"
        "Gitops-ML-Attempt: attempt-other-v1\n"
    )


def test_a_verdict_without_checks_still_has_a_message() -> None:
    failed_attempt = attempt(
        intent(V1),
        Judged(at="x", attempt="attempt-churn-v1", deployment=NAME, verdict="Failed", checks=()),
        settled(V1, "failed"),
    )
    assert commit_message("dev", [failed_attempt], {}).startswith("Record dev/churn v1: failed\n\n")
