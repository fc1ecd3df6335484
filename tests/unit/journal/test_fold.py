"""Folding the journal, with entries that were cut off, written twice, or written by another version."""

from __future__ import annotations

import json
from collections.abc import Mapping

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.core.journal.entries import Applied, Outcome, Recorded, Retried, Withdrawn
from gitops_ml.core.journal.fold import Checkpoint, Entry, encode, fold, fold_entries, fold_readable, rebuilt
from gitops_ml.core.journal.state import DeploymentState, EnvironmentState, quarantine_key
from gitops_ml.errors import InputError
from tests.unit.builders import NAME, generation, wanted
from tests.unit.journals import built, failed, files, intent, judged, promoted, recorded, settled

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


def folded(written: Mapping[str, bytes]) -> EnvironmentState:
    return fold(written, "dev")


def test_an_empty_journal_is_an_empty_state() -> None:
    assert folded({}) == EnvironmentState() and EnvironmentState().of(NAME) == DeploymentState()


def test_an_intent_opens_a_rollout() -> None:
    after = state(intent(V1))
    assert after.open and (after.open.generation.version, after.open.verdict) == ("v1", None)
    assert after.serving is None


def test_a_built_image_is_remembered() -> None:
    after = state(intent(V1), built(V1))
    assert after.open and after.open.generation == V1


def test_a_promoted_generation_serves() -> None:
    after = state(*promoted(V1))
    assert (after.serving, after.open) == (V1, None)
    assert after.last and (after.last.outcome, after.last.verdict, after.last.recorded) == (
        "promoted",
        "Verified",
        "f" * 40,
    )


@pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
def test_a_failed_generation_is_quarantined_and_the_incumbent_serves(outcome: Outcome) -> None:
    after = state(*promoted(V1), *failed(V2, V1, outcome))
    assert (after.serving, after.open) == (V1, None)
    assert after.quarantine == (wanted("v2").key,)


def test_a_superseded_generation_is_not_quarantined() -> None:
    after = state(*promoted(V1), intent(V2, V1), settled(V2, "superseded"))
    assert (after.serving, after.open, after.quarantine) == (V1, None, ())


def test_retry_lifts_the_quarantine_and_keeps_the_attempts() -> None:
    after = state(*promoted(V1), *failed(V2, V1), Retried(at="x", deployment=NAME))
    assert after.quarantine == () and len(after.attempts) == 2


def test_the_last_applied_commit_is_kept() -> None:
    entries = [Applied(at="x", commit=c * 40) for c in "ab"]
    assert fold_entries(entries).applied == "b" * 40


def test_deployments_are_independent() -> None:
    state = fold_entries([*promoted(V1), intent(OTHER)])
    assert state.of(NAME).serving == V1 and state.of(NAME).open is None
    assert state.of("other").serving is None and state.of("other").open


def test_the_newest_twenty_attempts_are_kept() -> None:
    entries: list[Entry] = []
    for n in range(25):
        begun = msgspec.structs.replace(intent(V2, V1), attempt=f"a{n}")
        entries += [begun, msgspec.structs.replace(settled(V2, "superseded"), attempt=f"a{n}")]
    assert [a.id for a in state(*entries).attempts] == [f"a{n}" for n in range(5, 25)]


def test_unrecorded_attempts_come_oldest_first() -> None:
    late = msgspec.structs.replace(settled(OTHER), at="2026-11-23T07:00:00+00:00")
    state = fold_entries([*promoted(V1)[:-1], intent(OTHER), judged(OTHER), late])
    assert [a.deployment for a in state.unrecorded] == ["other", NAME]


def test_a_withdrawn_deployment_is_forgotten() -> None:
    state = fold_entries([*promoted(V1), *promoted(OTHER), Withdrawn(at="x", deployment=NAME)])
    assert list(state.deployments) == ["other"]


def test_a_withdrawn_deployment_keeps_unrecorded_verdicts() -> None:
    entries = [*promoted(V1)[:-1], *failed(V2, V1), Withdrawn(at="x", deployment=NAME)]
    state = fold_entries(entries)
    assert [a.generation.version for a in state.unrecorded] == ["v1"]
    assert (state.of(NAME).serving, state.of(NAME).quarantine) == (None, ())


# --- cut off, written twice, stale, or from elsewhere ----------------------------------------------------------------


def test_entries_of_another_attempt_change_nothing() -> None:
    before = fold_entries(promoted(V1))
    for entry in (built(V2), judged(V2, "Failed"), settled(V2, "failed"), settled(V1, "failed")):
        assert fold_entries([*promoted(V1), entry]) == before


@given(st.data())
def test_an_entry_written_twice_counts_once(data: st.DataObject) -> None:
    doubled = [entry for entry in STORY for _ in range(data.draw(st.integers(1, 3)))]
    assert fold_entries(doubled) == fold_entries(STORY)


def test_a_settled_rollout_does_not_begin_again() -> None:
    assert fold_entries([*promoted(V1), *promoted(V1)]) == fold_entries(promoted(V1))


@given(st.integers(0, len(STORY) - 1), st.data())
def test_an_append_that_was_cut_off_counts_as_never_written(number: int, data: st.DataObject) -> None:
    written = files(STORY[: number + 1])
    name = max(written)
    cut = data.draw(st.integers(0, len(written[name]) - 1))
    assert folded(written | {name: written[name][:cut]}) == folded(files(STORY[:number]))


def test_file_names_give_the_order() -> None:
    written = files(STORY)
    assert folded(dict(reversed(written.items()))) == fold_entries(STORY)


@pytest.mark.parametrize("entry", [b'{"kind":"moved","at":"x"}', b'{"kind":"built","at":"x"}', b"[]", b"{}"])
def test_a_whole_entry_of_unknown_kind_is_an_error(entry: bytes) -> None:
    with pytest.raises(InputError) as caught:
        folded(files(promoted(V1)) | {"0000000099.json": entry})
    assert caught.value.what == "the entry 0000000099.json of dev's journal is not understood"
    assert caught.value.why.startswith("another version of gitops-ml wrote it: ")
    assert caught.value.fix.endswith("gitops-ml sync dev --rebuild-journal")


def test_a_rebuilt_journal_keeps_what_the_route_agrees_with() -> None:
    entries = [*promoted(V1), intent(V2, V1), *promoted(OTHER)]
    written = files(entries) | {"0000000099.json": b'{"kind":"moved","at":"x"}'}
    state, unread = fold_readable(written)
    assert (state, list(unread)) == (fold_entries(entries), ["0000000099.json"])
    agreed = rebuilt(state, {NAME: b"to " + V1.fingerprint.encode(), OTHER.deployment: b"to another generation"})
    assert (agreed.of(NAME).serving, agreed.of(NAME).open) == (state.of(NAME).serving, None)
    assert agreed.of(OTHER.deployment).serving is None


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    more = encode(built(V1))[:-1] + b',"seconds":1.5}'
    written = files([intent(V1), built(V1)])
    assert folded(written | {max(written): more}) == folded(written)


@given(st.integers(0, len(STORY)))
def test_a_compacted_journal_gives_the_same_state(number: int) -> None:
    before = Checkpoint(at="x", state=fold_entries(STORY[:number]))
    assert folded(files([before, *STORY[number:]])) == fold_entries(STORY)


def test_every_entry_survives_encoding() -> None:
    assert folded(files([*STORY, recorded(OTHER)])) == fold_entries([*STORY, recorded(OTHER)])


def test_the_words_of_the_journals_files_are_those_of_older_versions() -> None:
    written = json.loads(encode(recorded(V1)))
    assert written["kind"] == "published"
    kept = json.loads(encode(Checkpoint(at="x", state=fold_entries(promoted(V1)))))
    assert kept["state"]["deployments"][NAME]["attempts"][0]["published"] == "f" * 40


# --- quarantine ------------------------------------------------------------------------------------------------------


def test_which_changes_lift_a_quarantine() -> None:
    deployment = wanted("v1")
    declaration = deployment.resolved.declaration
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


def test_a_new_key_of_a_newer_version_lifts_no_quarantine() -> None:
    declaration = wanted("v1").resolved.declaration
    kind = type(declaration.verify)
    newer = msgspec.defstruct("Newer", [("more", int, 0)], bases=(kind,), frozen=True, kw_only=True)
    upgraded = msgspec.structs.replace(declaration, verify=newer())
    assert quarantine_key(V1, upgraded, None) == quarantine_key(V1, declaration, None)


def test_a_verdict_that_is_not_in_git_yet_outlasts_those_that_are() -> None:
    def rollout(number: int, in_git: bool) -> list[Entry]:
        again = {"attempt": f"a{number:02}"}
        entries: list[Entry] = [
            msgspec.structs.replace(intent(V2, V1), **again),
            msgspec.structs.replace(judged(V2, "Failed"), **again),
            msgspec.structs.replace(settled(V2, "failed"), **again),
        ]
        return [*entries, Recorded(at="x", commit="c", attempts=(f"a{number:02}",))] if in_git else entries

    after = state(*rollout(0, False), *(entry for n in range(1, 30) for entry in rollout(n, True)))
    assert [a.id for a in after.attempts] == ["a00", *(f"a{n:02}" for n in range(11, 30))]
