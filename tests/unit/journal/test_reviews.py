"""Reviews of the serving generation: their verdict, and the return to a verified generation."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Recorded, Stepped
from gitops_ml.core.journal.fold import Entry, Reviewed, fold_entries
from gitops_ml.core.journal.reviews import (
    candidate_has_users,
    newest_verdict,
    restored_generation,
    returns_to_verified,
    review_attempt,
    verified_before,
)
from gitops_ml.core.journal.state import KEPT_ATTEMPTS, DeploymentState
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.records.record import Record, updated
from gitops_ml.core.records.verified import promotable, verified_attempts
from gitops_ml.core.verification.verdict import CheckResult, Result, Verdict, overall
from gitops_ml.errors import InputError
from tests.unit.builders import NAME, NOW, generation, replica, wanted
from tests.unit.journals import built, failed, intent, judged, promoted, recorded, settled
from tests.unit.snapshots import inputs, planned, serving

V1, V2, V3 = generation("v1"), generation("v2"), generation("v3")
RESULTS: dict[Verdict, Result] = {"Verified": "pass", "Failed": "fail", "Inconclusive": "inconclusive"}


def state(*entries: Entry) -> DeploymentState:
    return fold_entries(entries).of(NAME)


def review(of: Generation, verdict: Verdict, *before: Entry, minutes: float = 0) -> Reviewed:
    """The entry of a review with this verdict, after these entries."""
    check = CheckResult(name="http orders", result=RESULTS[verdict], reason="it answered")
    now = NOW + timedelta(minutes=minutes)
    key = wanted(of.version, of=of).key
    attempt = review_attempt(state(*before), of, key=key, checks=(check,), logs="", started=now, now=now)
    return Reviewed(at=now.isoformat(), attempt=attempt)


def history(*verdicts: Verdict) -> list[Entry]:
    """v1 and then v2 was promoted; since then, v2 was reviewed with these verdicts."""
    entries = [*promoted(V1), *promoted(V2, V1)]
    for number, verdict in enumerate(verdicts):
        entries.append(review(V2, verdict, *entries, minutes=number))
    return entries


# --- what it adds up to


def test_a_failed_review_is_an_attempt_that_may_be_reverted() -> None:
    after = state(*history("Failed"))
    assert after.serving == V2 and after.open is None
    assert after.last and (after.last.outcome, after.last.verdict, after.last.strategy) == (
        "failed",
        "Failed",
        "review",
    )
    assert after.last.incumbent == V1
    assert wanted("v2").key in after.quarantine


@pytest.mark.parametrize("verdict", ["Verified", "Inconclusive"])
def test_a_review_that_is_not_failed_quarantines_nothing(verdict: Verdict) -> None:
    after = state(*history(verdict))
    assert after.last and (after.last.outcome, newest_verdict(after, V2)) == ("reviewed", verdict)
    assert after.quarantine == ()


def test_a_version_that_is_verified_again_leaves_quarantine() -> None:
    assert state(*history("Failed", "Inconclusive")).quarantine == (wanted("v2").key,)
    assert state(*history("Failed", "Verified")).quarantine == ()


def test_a_review_written_twice_counts_once() -> None:
    entries = history("Failed")
    assert state(*entries, entries[-1]) == state(*entries)


def test_two_reviews_within_one_second_are_two() -> None:
    entries = history("Verified")
    later = review(V2, "Failed", *entries, minutes=0.2 / 60)
    after = state(*entries, later)
    assert newest_verdict(after, V2) == "Failed"
    assert after.quarantine == (wanted("v2").key,)


def test_an_unrecorded_review_is_recorded_by_any_later_pass() -> None:
    text = planned(serving(V2, journal=history("Failed")), wanted("v2"))
    newest = state(*history("Failed")).attempts[-1].id
    assert text == f"record dev/gateway {newest} because these verdicts are not in Git yet"


def test_many_reviews_do_not_push_rollouts_out_of_the_journal() -> None:
    entries = history()
    for number in range(60):
        entries.append(review(V2, "Verified" if number % 2 else "Inconclusive", *entries, minutes=number))
        last = state(*entries).attempts[-1].id
        entries.append(Recorded(at="x", attempts=(last,), commit="f" * 40))
    after = state(*entries)
    assert len(after.attempts) == KEPT_ATTEMPTS
    assert verified_before(after, V2) == V1
    record = updated(None, after, NAME, "engine-1")
    assert [a.version for a in record.attempts if a.outcome == "promoted"] == ["v2", "v1"]


# --- what is gone back to


def test_the_generation_that_was_verified_before() -> None:
    assert verified_before(state(*history()), V2) == V1
    assert verified_before(state(*promoted(V1)), V1) is None


def test_a_generation_that_failed_is_not_returned_to() -> None:
    entries = [*promoted(V1), *promoted(V2, V1)]
    fallen = [*entries, review(V2, "Failed", *entries), *promoted(V3, V2)]
    assert verified_before(state(*fallen), V3) == V1


def test_a_failed_candidate_is_not_returned_to() -> None:
    assert verified_before(state(*promoted(V1), *failed(V2, V1), *promoted(V3, V1)), V3) == V1


def test_a_return_goes_back_at_most_once() -> None:
    earlier = [*promoted(V3), *promoted(V1, V3), *promoted(V2, V1)]
    back = msgspec.structs.replace(intent(V1, V2), attempt="back")
    went = [back, *(msgspec.structs.replace(e, attempt="back") for e in (built(V1), judged(V1), settled(V1)))]
    entries = [*earlier, review(V2, "Failed", *earlier), *went]
    assert state(*entries).serving == V1
    assert verified_before(state(*entries), V1) is None
    # A version that was rolled out over it counts as any other.
    onward = [*entries, *promoted(generation("v4"), V1)]
    assert verified_before(state(*onward), generation("v4")) == V1


def test_a_candidate_that_fails_over_a_failed_incumbent_restores_an_earlier_one() -> None:
    entries: list[Entry] = [*promoted(V1), *promoted(V2, V1), intent(V3, V2), built(V3)]
    reviewed_meanwhile = [*entries, review(V2, "Failed", *entries)]
    stopped: list[Entry] = [judged(V3, "Failed"), settled(V3, "failed")]
    after = state(*reviewed_meanwhile, *stopped)
    assert after.last and restored_generation(after, after.last) == V1
    after = state(*entries, *stopped)
    assert after.last and restored_generation(after, after.last) == V2
    # A review says itself what is gone back to.
    after = state(*history("Failed"))
    assert after.last and restored_generation(after, after.last) == V1
    # Without anything better it is the incumbent, which goes on serving.
    alone: list[Entry] = [*promoted(V2), intent(V3, V2), built(V3)]
    after = state(*alone, review(V2, "Failed", *alone), *stopped)
    assert after.last and restored_generation(after, after.last) == V2


def test_a_candidate_has_users_from_its_first_share_of_traffic() -> None:
    def routed(strategy: str, stage: int | None) -> DeploymentState:
        begun = msgspec.structs.replace(intent(V2, V1), strategy=strategy)
        step = Stepped(at="x", attempt=begun.attempt, deployment=NAME, stage=stage or 0, anew=True)
        return state(*promoted(V1), begun, *([step] if stage is not None else []))

    assert not candidate_has_users(state(*promoted(V1)))
    assert not candidate_has_users(routed("canary", None))
    assert candidate_has_users(routed("canary", 0))
    assert not candidate_has_users(routed("shadow", 0))
    assert candidate_has_users(routed("shadow", 1))


def test_a_return_differs_from_a_new_version() -> None:
    after = state(*history("Failed"))
    assert returns_to_verified(after, V1) and not returns_to_verified(after, V3)
    assert not returns_to_verified(state(*history()), V1)
    newer_base = msgspec.structs.replace(V1, fingerprint="a" * 12)
    assert returns_to_verified(after, newer_base)


def test_a_return_is_judged_by_absolute_bounds_and_waits_for_no_traffic() -> None:
    seen = serving(V2, replica(V2), journal=[*history("Failed"), recorded(V2)])
    pass_plan = make_plan(inputs(seen, wanted("v1", strategy="canary")))
    begun = next(a for a in pass_plan.actions if isinstance(a, plan.Begin))
    verify = next(a for a in pass_plan.actions if isinstance(a, plan.Verify))
    assert begun.attempt.strategy == "blue-green"
    assert (verify.compare, verify.then_traffic) == (False, False)
    assert begun.because == "v2 failed a review and v1 was verified before it"


def test_a_new_version_is_judged_against_the_incumbent() -> None:
    seen = serving(V2, replica(V2), journal=history("Failed"))
    pass_plan = make_plan(inputs(seen, wanted("v3", strategy="canary")))
    verify = next(a for a in pass_plan.actions if isinstance(a, plan.Verify))
    assert (verify.compare, verify.then_traffic) == (True, True)


def test_a_failed_generation_serves_on_while_it_is_declared() -> None:
    entries = history("Failed")
    recorded = Recorded(at="x", attempts=(state(*entries).attempts[-1].id,), commit="f" * 40)
    pass_plan = make_plan(inputs(serving(V2, journal=[*entries, recorded]), wanted("v2")))
    status = pass_plan.statuses[0]
    assert (status.sync, status.health, status.verification) == ("Synced", "Healthy", "Failed")
    assert status.message == "v2: http orders: it answered"


# --- what git remembers


def record(*entries: Entry, previous: Record | None = None) -> Record:
    return updated(previous, state(*entries), NAME, "engine-1")


def test_a_record_names_the_generation_that_is_still_verified() -> None:
    assert record(*history()).verified == record(*history("Verified")).verified
    written = record(*history("Failed"))
    assert (written.verdict, written.verified and written.verified.version) == ("Failed", "v1")
    assert written.serving and written.serving.version == "v2"
    again = record(*history("Failed", "Verified")).verified
    assert again and again.version == "v2"


def test_a_newer_review_overrules_the_previous_record() -> None:
    before = record(*promoted(V1))
    entries = [*promoted(V1)]
    after = record(*entries, review(V1, "Failed", *entries), previous=before)
    assert before.verified and after.verified is None


@pytest.mark.parametrize(
    ("verdicts", "may"), [((), True), (("Failed",), False), (("Inconclusive",), False), (("Failed", "Verified"), True)]
)
def test_only_a_verified_generation_is_promotable(verdicts: tuple[Verdict, ...], may: bool) -> None:
    written = record(*history(*verdicts))
    if may:
        assert promotable("dev", NAME, written)[0].version == "v2"
    else:
        with pytest.raises(InputError, match="v2 is not Verified"):
            promotable("dev", NAME, written)


def test_the_soak_restarts_when_a_generation_is_verified_again() -> None:
    first, again = (
        promotable("dev", NAME, record(*history()))[1],
        promotable("dev", NAME, record(*history("Failed", "Verified")))[1],
    )
    assert again == NOW + timedelta(minutes=1) > first


def test_a_rollback_does_not_offer_a_generation_that_failed_a_review() -> None:
    assert [a.version for a in verified_attempts(record(*history("Failed")))] == ["v1"]
    assert [a.version for a in verified_attempts(record(*history("Failed", "Verified")))] == ["v2", "v1"]


# --- checks that only advise


def test_advisory_checks_do_not_change_the_verdict() -> None:
    good = CheckResult(name="ready", result="pass", reason="it is")
    advice = CheckResult(name="drift", result="fail", reason="it has moved", advisory=True)
    assert overall([good, advice]) == "Verified"
    assert overall([advice]) == "Unverified"
    assert (advice.prevents_verified, advice.word, good.word) == (False, "advises", "pass")


def test_an_omitted_default_does_not_lengthen_a_record() -> None:
    good = CheckResult(name="ready", result="pass", reason="it is")
    assert msgspec.to_builtins(good) == {"name": "ready", "result": "pass", "reason": "it is"}
