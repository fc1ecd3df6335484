"""Judging again what serves: whether the verdict is another one than before, and what it is gone back to.

A review is no rollout: nothing is started and nothing routed. It is kept as an attempt that is settled from its
beginning, so that record, revert, quarantine and history treat its verdict like any other.
"""

from __future__ import annotations

from datetime import datetime

from gitops_ml.core.generation import Generation
from gitops_ml.core.rollout import Attempt, DeploymentState
from gitops_ml.core.verdict import CheckResult, Verdict, overall

STRATEGY = "review"


def newest_verdict(state: DeploymentState, generation: Generation) -> Verdict | None:
    """The last verdict on a generation; None where it never got one."""
    found = [a.verdict for a in state.attempts if a.generation.fingerprint == generation.fingerprint and a.verdict]
    return found[-1] if found else None


def verified_before(state: DeploymentState, serving: Generation) -> Generation | None:
    """The last other generation that was promoted as Verified and has not failed since: what is gone back to."""
    fallen: set[str] = {serving.fingerprint}
    for attempt in reversed(state.attempts):
        if attempt.verdict == "Failed":
            fallen.add(attempt.generation.fingerprint)
        earned = attempt.outcome == "promoted" and attempt.verdict == "Verified"
        if earned and attempt.generation.fingerprint not in fallen:
            return attempt.generation
    return None


def goes_back(state: DeploymentState, generation: Generation) -> bool:
    """Whether a rollout of `generation` only goes back to what was Verified, since what serves has failed a review.

    Then there is nothing good to compare it with: it has to keep its absolute bounds, and takes over at once.
    """
    serving = state.serving
    if serving is None or newest_verdict(state, serving) != "Failed":
        return False
    # Not by the fingerprint: a newer base image makes another generation of the same version.
    return any(
        a.outcome == "promoted"
        and a.verdict == "Verified"
        and (a.generation.version, a.generation.digest) == (generation.version, generation.digest)
        for a in state.attempts
    )


def reviewed(
    state: DeploymentState,
    serving: Generation,
    *,
    key: str,
    checks: tuple[CheckResult, ...],
    logs: str,
    started: datetime,
    now: datetime,
) -> Attempt:
    """The attempt that a review of `serving` is kept as. `key` is its quarantine key (`rollout.quarantine_key`)."""
    verdict = overall(checks)
    return Attempt(
        id=f"{serving.fingerprint}-{now.strftime('%Y%m%dT%H%M%S')}-review",
        generation=serving,
        incumbent=verified_before(state, serving),
        strategy=STRATEGY,
        key=key,
        started=started.isoformat(),
        verdict=verdict,
        checks=checks,
        logs=logs,
        outcome="failed" if verdict == "Failed" else "reviewed",
        settled=now.isoformat(),
    )
