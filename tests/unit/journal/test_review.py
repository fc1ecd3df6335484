"""Judging again what serves: what its verdict adds up to, what is gone back to, and how."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Published, Stepped
from gitops_ml.core.journal.fold import Entry, Reviewed, fold_entries
from gitops_ml.core.journal.reviews import among_users, goes_back, newest_verdict, put_back, reviewed, verified_before
from gitops_ml.core.journal.state import KEPT_ATTEMPTS, DeploymentState
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.records.record import Record, updated
from gitops_ml.core.records.verified import promotable, verified_attempts
from gitops_ml.core.verification.verdict import CheckResult, Result, Verdict, overall
from gitops_ml.errors import InputError
from tests.unit.builders import NAME, NOW, generation, replica, wanted
from tests.unit.journals import built, failed, intent, judged, promoted, published, settled
from tests.unit.snapshots import inputs, planned, serving

V1, V2, V3 = generation("v1"), generation("v2"), generation("v3")
RESULTS: dict[Verdict, Result] = {"Verified": "pass", "Failed": "fail", "Inconclusive": "inconclusive"}


def state(*entries: Entry) -> DeploymentState:
    return fold_entries(entries).of(NAME)


def review(of: Generation, verdict: Verdict, *before: Entry, minutes: float = 0) -> Reviewed:
    """What a review writes that comes to this verdict after these entries."""
    check = CheckResult(name="http orders", result=RESULTS[verdict], reason="it answered")
    now = NOW + timedelta(minutes=minutes)
    key = wanted(of.version, of=of).key
    attempt = reviewed(state(*before), of, key=key, checks=(check,), logs="", started=now, now=now)
    return Reviewed(at=now.isoformat(), attempt=attempt)


def history(*verdicts: Verdict) -> list[Entry]:
    """v1, then v2 was promoted, and v2 was reviewed with these verdicts since."""
    entries = [*promoted(V1), *promoted(V2, V1)]
    for number, verdict in enumerate(verdicts):
        entries.append(review(V2, verdict, *entries, minutes=number))
    return entries


# --- what it adds up to


def test_a_failed_review_is_an_attempt_that_may_be_reverted() -> None:
    found = state(*history("Failed"))
    assert found.serving == V2 and found.open is None
    assert found.last and (found.last.outcome, found.last.verdict, found.last.strategy) == (
        "failed",
        "Failed",
        "review",
    )
    assert found.last.incumbent == V1
    assert wanted("v2").key in found.quarantine


@pytest.mark.parametrize("verdict", ["Verified", "Inconclusive"])
def test_another_verdict_is_kept_and_stops_nothing(verdict: Verdict) -> None:
    found = state(*history(verdict))
    assert found.last and (found.last.outcome, newest_verdict(found, V2)) == ("reviewed", verdict)
    assert found.quarantine == ()


def test_a_version_that_is_well_again_leaves_quarantine() -> None:
    assert state(*history("Failed", "Inconclusive")).quarantine == (wanted("v2").key,)
    assert state(*history("Failed", "Verified")).quarantine == ()


def test_a_review_that_is_written_twice_counts_once() -> None:
    entries = history("Failed")
    assert state(*entries, entries[-1]) == state(*entries)


def test_two_reviews_within_one_second_are_two() -> None:
    entries = history("Verified")
    later = review(V2, "Failed", *entries, minutes=0.2 / 60)
    found = state(*entries, later)
    assert newest_verdict(found, V2) == "Failed"
    assert found.quarantine == (wanted("v2").key,)


def test_a_review_that_git_does_not_hold_is_published_by_any_later_pass() -> None:
    text = planned(serving(V2, journal=history("Failed")), wanted("v2"))
    newest = state(*history("Failed")).attempts[-1].id
    assert text == f"publish dev/gateway {newest} because Git does not hold these verdicts yet"


def test_a_verdict_that_comes_and_goes_does_not_push_rollouts_out_of_memory() -> None:
    entries = history()
    for number in range(60):
        entries.append(review(V2, "Verified" if number % 2 else "Inconclusive", *entries, minutes=number))
        last = state(*entries).attempts[-1].id
        entries.append(Published(at="x", attempts=(last,), commit="f" * 40))
    found = state(*entries)
    assert len(found.attempts) == KEPT_ATTEMPTS
    assert verified_before(found, V2) == V1
    record = updated(None, found, NAME, "engine-1")
    assert [a.version for a in record.attempts if a.outcome == "promoted"] == ["v2", "v1"]


# --- what is gone back to


def test_what_was_verified_before_it() -> None:
    assert verified_before(state(*history()), V2) == V1
    assert verified_before(state(*promoted(V1)), V1) is None


def test_not_to_what_has_failed_itself() -> None:
    entries = [*promoted(V1), *promoted(V2, V1)]
    fallen = [*entries, review(V2, "Failed", *entries), *promoted(V3, V2)]
    assert verified_before(state(*fallen), V3) == V1


def test_a_candidate_that_failed_is_not_gone_back_to() -> None:
    assert verified_before(state(*promoted(V1), *failed(V2, V1), *promoted(V3, V1)), V3) == V1


def test_no_further_than_one_step() -> None:
    earlier = [*promoted(V3), *promoted(V1, V3), *promoted(V2, V1)]
    back = msgspec.structs.replace(intent(V1, V2), attempt="back")
    went = [back, *(msgspec.structs.replace(e, attempt="back") for e in (built(V1), judged(V1), settled(V1)))]
    entries = [*earlier, review(V2, "Failed", *earlier), *went]
    assert state(*entries).serving == V1
    assert verified_before(state(*entries), V1) is None
    # A version that was rolled out over it counts as any other.
    onward = [*entries, *promoted(generation("v4"), V1)]
    assert verified_before(state(*onward), generation("v4")) == V1


def test_a_candidate_that_fails_over_one_that_failed_meanwhile_is_put_back_further() -> None:
    entries: list[Entry] = [*promoted(V1), *promoted(V2, V1), intent(V3, V2), built(V3)]
    reviewed_meanwhile = [*entries, review(V2, "Failed", *entries)]
    stopped: list[Entry] = [judged(V3, "Failed"), settled(V3, "failed")]
    found = state(*reviewed_meanwhile, *stopped)
    assert found.last and put_back(found, found.last) == V1
    found = state(*entries, *stopped)
    assert found.last and put_back(found, found.last) == V2
    # A review says itself what is gone back to.
    found = state(*history("Failed"))
    assert found.last and put_back(found, found.last) == V1
    # Without anything better it is the incumbent, which goes on serving.
    alone: list[Entry] = [*promoted(V2), intent(V3, V2), built(V3)]
    found = state(*alone, review(V2, "Failed", *alone), *stopped)
    assert found.last and put_back(found, found.last) == V2


def test_a_candidate_is_among_users_from_its_first_share_of_them() -> None:
    def routed(strategy: str, stage: int | None) -> DeploymentState:
        begun = msgspec.structs.replace(intent(V2, V1), strategy=strategy)
        step = Stepped(at="x", attempt=begun.attempt, deployment=NAME, stage=stage or 0, anew=True)
        return state(*promoted(V1), begun, *([step] if stage is not None else []))

    assert not among_users(state(*promoted(V1)))
    assert not among_users(routed("canary", None))
    assert among_users(routed("canary", 0))
    assert not among_users(routed("shadow", 0))
    assert among_users(routed("shadow", 1))


def test_going_back_is_told_from_going_on() -> None:
    found = state(*history("Failed"))
    assert goes_back(found, V1) and not goes_back(found, V3)
    assert not goes_back(state(*history()), V1)
    newer_base = msgspec.structs.replace(V1, fingerprint="a" * 12)
    assert goes_back(found, newer_base)


def test_going_back_is_judged_by_absolute_bounds_and_waits_for_no_traffic() -> None:
    seen = serving(V2, replica(V2), journal=[*history("Failed"), published(V2)])
    found = make_plan(inputs(seen, wanted("v1", strategy="canary")))
    begun = next(a for a in found.actions if isinstance(a, plan.Begin))
    verify = next(a for a in found.actions if isinstance(a, plan.Verify))
    assert begun.attempt.strategy == "blue-green"
    assert (verify.compare, verify.then_traffic) == (False, False)
    assert begun.because == "v2 failed a review and v1 was verified before it"


def test_going_on_is_judged_as_ever() -> None:
    seen = serving(V2, replica(V2), journal=history("Failed"))
    found = make_plan(inputs(seen, wanted("v3", strategy="canary")))
    verify = next(a for a in found.actions if isinstance(a, plan.Verify))
    assert (verify.compare, verify.then_traffic) == (True, True)


def test_what_failed_and_is_declared_still_goes_on_serving() -> None:
    entries = history("Failed")
    recorded = Published(at="x", attempts=(state(*entries).attempts[-1].id,), commit="f" * 40)
    found = make_plan(inputs(serving(V2, journal=[*entries, recorded]), wanted("v2")))
    status = found.statuses[0]
    assert (status.sync, status.health, status.verification) == ("Synced", "Healthy", "Failed")
    assert status.message == "v2: http orders it answered"


# --- what git remembers


def record(*entries: Entry, previous: Record | None = None) -> Record:
    return updated(previous, state(*entries), NAME, "engine-1")


def test_a_record_names_what_is_still_verified() -> None:
    assert record(*history()).verified == record(*history("Verified")).verified
    found = record(*history("Failed"))
    assert (found.verdict, found.verified and found.verified.version) == ("Failed", "v1")
    assert found.serving and found.serving.version == "v2"
    again = record(*history("Failed", "Verified")).verified
    assert again and again.version == "v2"


def test_a_record_of_before_is_not_believed_against_a_newer_review() -> None:
    before = record(*promoted(V1))
    entries = [*promoted(V1)]
    after = record(*entries, review(V1, "Failed", *entries), previous=before)
    assert before.verified and after.verified is None


@pytest.mark.parametrize(
    ("verdicts", "may"), [((), True), (("Failed",), False), (("Inconclusive",), False), (("Failed", "Verified"), True)]
)
def test_only_what_stands_verified_is_promoted(verdicts: tuple[Verdict, ...], may: bool) -> None:
    known = record(*history(*verdicts))
    if may:
        assert promotable("dev", NAME, known)[0].version == "v2"
    else:
        with pytest.raises(InputError, match="v2 is not Verified"):
            promotable("dev", NAME, known)


def test_its_soak_begins_anew_when_it_is_well_again() -> None:
    first, again = (
        promotable("dev", NAME, record(*history()))[1],
        promotable("dev", NAME, record(*history("Failed", "Verified")))[1],
    )
    assert again == NOW + timedelta(minutes=1) > first


def test_a_rollback_does_not_offer_what_failed_a_review() -> None:
    assert [a.version for a in verified_attempts(record(*history("Failed")))] == ["v1"]
    assert [a.version for a in verified_attempts(record(*history("Failed", "Verified")))] == ["v2", "v1"]


# --- checks that only advise


def test_no_verdict_is_drawn_from_advice() -> None:
    good = CheckResult(name="ready", result="pass", reason="it is")
    advice = CheckResult(name="drift", result="fail", reason="it has moved", advisory=True)
    assert overall([good, advice]) == "Verified"
    assert overall([advice]) == "Unverified"
    assert (advice.decides, advice.said, good.said) == (False, "advises", "pass")


def test_a_record_is_not_longer_for_it() -> None:
    good = CheckResult(name="ready", result="pass", reason="it is")
    assert msgspec.to_builtins(good) == {"name": "ready", "result": "pass", "reason": "it is"}
