"""The journal: what its entries add up to, whatever was cut off, written twice or read by another version."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.core.journal.entries import Applied, Outcome, Retried, Withdrawn
from gitops_ml.core.journal.fold import Checkpoint, Entry, encode, fold, fold_entries
from gitops_ml.core.journal.state import DeploymentState, EnvironmentState, quarantine_key
from gitops_ml.errors import InputError
from tests.unit.builders import NAME, generation, wanted
from tests.unit.journals import built, failed, files, intent, judged, promoted, published, settled

V1, V2 = generation("v1"), generation("v2")
OTHER = generation("v1", "other")
STORY: list[Entry] = [
    Applied(at="x", commit="a" * 40),
    *promoted(V1),
    *promoted(OTHER)[:-1],
    *failed(V2, V1),
    Retried(at="x", deployment=NAME),
]


def state(*entries: Entry) -> DeploymentState:
    return fold_entries(entries).of(NAME)


# --- one entry after the other ---------------------------------------------------------------------------------------


def test_nothing_was_ever_done() -> None:
    assert fold({}) == EnvironmentState() and EnvironmentState().of(NAME) == DeploymentState()


def test_an_intent_opens_a_rollout() -> None:
    found = state(intent(V1))
    assert found.open and (found.open.generation.version, found.open.verdict) == ("v1", None)
    assert found.serving is None


def test_what_was_built_is_known_from_then_on() -> None:
    found = state(intent(V1), built(V1))
    assert found.open and found.open.generation == V1


def test_what_was_promoted_serves() -> None:
    found = state(*promoted(V1))
    assert (found.serving, found.open) == (V1, None)
    assert found.last and (found.last.outcome, found.last.verdict, found.last.published) == (
        "promoted",
        "Verified",
        "f" * 40,
    )


@pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
def test_what_failed_is_quarantined_and_its_incumbent_serves(outcome: Outcome) -> None:
    found = state(*promoted(V1), *failed(V2, V1, outcome))
    assert (found.serving, found.open) == (V1, None)
    assert found.quarantine == (wanted("v2").key,)


def test_what_was_superseded_is_not_quarantined() -> None:
    found = state(*promoted(V1), intent(V2, V1), settled(V2, "superseded"))
    assert (found.serving, found.open, found.quarantine) == (V1, None, ())


def test_retry_lifts_the_quarantine_and_keeps_the_attempts() -> None:
    found = state(*promoted(V1), *failed(V2, V1), Retried(at="x", deployment=NAME))
    assert found.quarantine == () and len(found.attempts) == 2


def test_the_last_applied_commit_counts() -> None:
    entries = [Applied(at="x", commit=c * 40) for c in "ab"]
    assert fold_entries(entries).applied == "b" * 40


def test_deployments_are_apart() -> None:
    found = fold_entries([*promoted(V1), intent(OTHER)])
    assert found.of(NAME).serving == V1 and found.of(NAME).open is None
    assert found.of("other").serving is None and found.of("other").open


def test_no_more_than_twenty_attempts_are_kept_the_newest() -> None:
    entries: list[Entry] = []
    for n in range(25):
        one = msgspec.structs.replace(intent(V2, V1), attempt=f"a{n}")
        entries += [one, msgspec.structs.replace(settled(V2, "superseded"), attempt=f"a{n}")]
    assert [a.id for a in state(*entries).attempts] == [f"a{n}" for n in range(5, 25)]


def test_what_git_does_not_hold_comes_oldest_first() -> None:
    late = msgspec.structs.replace(settled(OTHER), at="2026-11-23T07:00:00+00:00")
    found = fold_entries([*promoted(V1)[:-1], intent(OTHER), judged(OTHER), late])
    assert [a.deployment for a in found.unpublished] == ["other", NAME]


def test_what_is_withdrawn_is_forgotten() -> None:
    found = fold_entries([*promoted(V1), *promoted(OTHER), Withdrawn(at="x", deployment=NAME)])
    assert list(found.deployments) == ["other"]


def test_what_is_withdrawn_keeps_what_git_does_not_hold() -> None:
    entries = [*promoted(V1)[:-1], *failed(V2, V1), Withdrawn(at="x", deployment=NAME)]
    found = fold_entries(entries)
    assert [a.generation.version for a in found.unpublished] == ["v1"]
    assert (found.of(NAME).serving, found.of(NAME).quarantine) == (None, ())


# --- cut off, written twice, stale, or from elsewhere ----------------------------------------------------------------


def test_entries_that_are_about_no_open_rollout_change_nothing() -> None:
    before = fold_entries(promoted(V1))
    for entry in (built(V2), judged(V2, "Failed"), settled(V2, "failed"), settled(V1, "failed")):
        assert fold_entries([*promoted(V1), entry]) == before


@given(st.data())
def test_an_entry_that_was_written_twice_counts_once(data: st.DataObject) -> None:
    doubled = [entry for entry in STORY for _ in range(data.draw(st.integers(1, 3)))]
    assert fold_entries(doubled) == fold_entries(STORY)


def test_a_rollout_that_is_told_again_does_not_begin_again() -> None:
    assert fold_entries([*promoted(V1), *promoted(V1)]) == fold_entries(promoted(V1))


@given(st.integers(0, len(STORY) - 1), st.data())
def test_an_append_that_was_cut_off_counts_as_never_written(number: int, data: st.DataObject) -> None:
    written = files(STORY[: number + 1])
    name = max(written)
    cut = data.draw(st.integers(0, len(written[name]) - 1))
    assert fold(written | {name: written[name][:cut]}) == fold(files(STORY[:number]))


def test_the_names_give_the_order() -> None:
    written = files(STORY)
    assert fold(dict(reversed(written.items()))) == fold_entries(STORY)


@pytest.mark.parametrize("entry", [b'{"kind":"moved","at":"x"}', b'{"kind":"built","at":"x"}', b"[]", b"{}"])
def test_an_entry_that_is_whole_and_not_understood_is_an_error(entry: bytes) -> None:
    with pytest.raises(InputError) as caught:
        fold(files(promoted(V1)) | {"0000000099.json": entry})
    assert caught.value.what == "the journal's entry 0000000099.json is not understood"
    assert caught.value.why.startswith("another version of gitops-ml wrote it: ")
    assert caught.value.fix == "use that version or a newer one"


def test_a_newer_version_may_say_more_of_an_entry() -> None:
    more = encode(built(V1))[:-1] + b',"seconds":1.5}'
    written = files([intent(V1), built(V1)])
    assert fold(written | {max(written): more}) == fold(written)


@given(st.integers(0, len(STORY)))
def test_a_compacted_journal_says_the_same(number: int) -> None:
    before = Checkpoint(at="x", state=fold_entries(STORY[:number]))
    assert fold(files([before, *STORY[number:]])) == fold_entries(STORY)


def test_every_entry_survives_its_file() -> None:
    assert fold(files([*STORY, published(OTHER)])) == fold_entries([*STORY, published(OTHER)])


# --- quarantine ------------------------------------------------------------------------------------------------------


def test_what_lifts_a_quarantine_and_what_does_not() -> None:
    one = wanted("v1")
    declaration = one.resolved.declaration
    verify = msgspec.convert({"holdout": {"data": "rows.csv", "metrics": {}}}, type(declaration.verify))
    replace = msgspec.structs.replace
    key = quarantine_key(V1, declaration, "md5:rows")
    assert key == quarantine_key(V1, replace(declaration, replicas=7, version="v8"), "md5:rows")
    assert key == quarantine_key(replace(V1, image_id=None, commit="e" * 40), declaration, "md5:rows")
    others = {
        quarantine_key(V2, declaration, "md5:rows"),
        quarantine_key(V1, replace(declaration, verify=verify), "md5:rows"),
        quarantine_key(V1, declaration, "md5:others"),
        quarantine_key(V1, declaration, None),
        quarantine_key(OTHER, declaration, "md5:rows"),
    }
    assert len(others | {key}) == 6


def test_a_key_that_a_newer_version_adds_lifts_no_quarantine() -> None:
    declaration = wanted("v1").resolved.declaration
    kind = type(declaration.verify)
    newer = msgspec.defstruct("Newer", [("more", int, 0)], bases=(kind,), frozen=True, kw_only=True)
    upgraded = msgspec.structs.replace(declaration, verify=newer())
    assert quarantine_key(V1, upgraded, None) == quarantine_key(V1, declaration, None)
