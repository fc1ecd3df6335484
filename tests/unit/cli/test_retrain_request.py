"""A failed rollout's request for a new model: made once, answered once, kept in all later records."""

from __future__ import annotations

import pytest

from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import Attempt, DeploymentState
from gitops_ml.core.records.record import answered, updated, wants_retrain
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.retraining.bump_branch import Retrained
from gitops_ml.retraining.retrain import admit_months

ASKING = Deployment(schema=1, model="churn", version="v1.0.0", on_failure=("revert", "retrain"))
SILENT = Deployment(schema=1, model="churn", version="v1.0.0")


def attempt(number: int, verdict: Verdict = "Failed", *, boot: bool = False) -> Attempt:
    generation = Generation(
        fingerprint=f"f{number}",
        deployment="churn",
        model="churn",
        version=f"v{number}.0.0",
        digest="md5:" + "0" * 32,
        path="models/churn",
        revision="r",
        commit="c",
        pattern="service",
        image="i",
    )
    return Attempt(
        id=f"a{number}",
        generation=generation,
        incumbent=None,
        strategy="blue-green",
        key="k",
        started=f"2026-01-0{number}T00:00:00+00:00",
        settled=f"2026-01-0{number}T01:00:00+00:00",
        boot=boot,
        verdict=verdict,
        outcome="failed" if verdict == "Failed" else "promoted",
    )


def state(*attempts: Attempt) -> DeploymentState:
    return DeploymentState(attempts=attempts)


def test_only_a_failed_rollout_with_retrain_declared_requests_a_model() -> None:
    assert wants_retrain(attempt(1), ASKING)
    assert not wants_retrain(attempt(1), SILENT)
    assert not wants_retrain(attempt(1), None)
    assert not wants_retrain(attempt(1, "Verified"), ASKING)
    assert not wants_retrain(attempt(1, "Inconclusive"), ASKING)
    assert not wants_retrain(attempt(1, boot=True), ASKING)


def test_a_record_keeps_the_request_until_it_is_answered() -> None:
    first = updated(None, state(attempt(1)), "churn", "e", {"a1"})
    assert first.retrain is not None
    assert (first.retrain.state, first.retrain.attempt, first.retrain.at) == (
        "requested",
        "a1",
        "2026-01-01T01:00:00+00:00",
    )
    later = updated(first, state(attempt(1), attempt(2, "Verified")), "churn", "e")
    assert later.retrain == first.retrain
    done = answered(later, "a1", "registered: v3.0.0")
    assert done.retrain is not None
    assert (done.retrain.state, done.retrain.answer) == ("answered", "registered: v3.0.0")


def test_a_recorded_attempt_does_not_request_again() -> None:
    first = updated(None, state(attempt(1)), "churn", "e", {"a1"})
    done = answered(first, "a1", "failed")
    assert updated(done, state(attempt(1)), "churn", "e", {"a1"}).retrain == done.retrain
    again = updated(done, state(attempt(1), attempt(2)), "churn", "e", {"a2"}).retrain
    assert again is not None
    assert (again.state, again.attempt) == ("requested", "a2")


def test_a_newer_request_is_not_answered_by_an_older_run() -> None:
    asked = updated(None, state(attempt(1), attempt(2)), "churn", "e", {"a1", "a2"})
    assert answered(asked, "a1", "failed") == asked
    assert answered(updated(None, state(), "churn", "e"), "a1", "x").retrain is None


@pytest.mark.parametrize(
    ("until", "now", "expected"),
    [
        ("2013-08", "2013-08-02", {"ingest.until": "2013-08", "validate.freshness.now": "2013-09-02"}),
        ("2013-12", "2013-08-02", {"ingest.until": "2013-12", "validate.freshness.now": "2014-01-02"}),
        ("2013-08", None, {"ingest.until": "2013-08"}),
    ],
)
def test_a_newer_month_also_moves_the_time_of_the_freshness_check(
    until: str, now: str | None, expected: dict[str, str]
) -> None:
    assert admit_months(until, now) == expected


def test_exit_codes() -> None:
    codes = {
        outcome: Retrained(outcome=outcome, model="m", reason="").exit_code
        for outcome in ("registered", "unchanged", "not requested", "failed", "inconclusive", "held")
    }
    assert codes == {"registered": 0, "unchanged": 0, "not requested": 0, "failed": 3, "inconclusive": 4, "held": 4}
