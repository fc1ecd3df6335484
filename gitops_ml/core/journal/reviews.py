"""Judging again what serves: whether the verdict is another one than before, and what it is gone back to.

A review is no rollout: nothing is started and nothing routed. It is kept as an attempt that is settled from its
beginning, so that record, revert, quarantine and history treat its verdict like any other.
"""

from __future__ import annotations

from datetime import datetime

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import Attempt, DeploymentState
from gitops_ml.core.verification.verdict import CheckResult, Verdict, overall

STRATEGY = "review"


def newest_verdict(state: DeploymentState, generation: Generation) -> Verdict | None:
    """The last verdict on a generation; None where it never got one."""
    found = [a.verdict for a in state.attempts if a.generation.fingerprint == generation.fingerprint and a.verdict]
    return found[-1] if found else None


def verified_before(state: DeploymentState, serving: Generation) -> Generation | None:
    """The last other generation that was promoted as Verified and has not failed since: what is gone back to.

    One step and no more: when that fails too, it is not the version that is at fault, and None is the answer.
    """
    if _was_gone_back_to(state, serving):
        return None
    fallen: set[str] = {serving.fingerprint}
    for attempt in reversed(state.attempts):
        if attempt.verdict == "Failed":
            fallen.add(attempt.generation.fingerprint)
        if _earned(attempt) and attempt.generation.fingerprint not in fallen:
            return attempt.generation
    return None


def _was_gone_back_to(state: DeploymentState, serving: Generation) -> bool:
    """Whether what serves does so because the one after it failed a review."""
    mine = [n for n, a in enumerate(state.attempts) if _earned(a) and _same_model(a.generation, serving)]
    replaced = state.attempts[mine[-1]].incumbent if len(mine) > 1 else None
    if replaced is None:
        return False
    before = [a for a in state.attempts[: mine[-1]] if a.generation.fingerprint == replaced.fingerprint]
    return bool(before) and (before[-1].strategy, before[-1].verdict) == (STRATEGY, "Failed")


def put_back(state: DeploymentState, attempt: Attempt) -> Generation | None:
    """What is declared again when an attempt has failed: its incumbent, unless that has failed a review meanwhile.

    Then it is what was verified before that, where there is something; None when nothing was there before.
    """
    incumbent = attempt.incumbent
    if attempt.strategy == STRATEGY or incumbent is None or newest_verdict(state, incumbent) != "Failed":
        return incumbent
    return verified_before(state, incumbent) or incumbent


def among_users(state: DeploymentState) -> bool:
    """Whether a candidate answers some of the users' requests now, so that no address is one generation's alone."""
    attempt = state.open
    if attempt is None or attempt.routed is None:
        return False
    return attempt.strategy == "canary" or bool(attempt.stage)  # the first stage of a shadow answers nobody


def goes_back(state: DeploymentState, generation: Generation) -> bool:
    """Whether a rollout of `generation` only goes back to what was Verified, since what serves has failed a review.

    Then there is nothing good to compare it with: it has to keep its absolute bounds, and takes over at once.
    """
    serving = state.serving
    if serving is None or newest_verdict(state, serving) != "Failed":
        return False
    return any(_earned(a) and _same_model(a.generation, generation) for a in state.attempts)


def _earned(attempt: Attempt) -> bool:
    return attempt.outcome == "promoted" and attempt.verdict == "Verified"


def _same_model(one: Generation, other: Generation) -> bool:
    """Not by the fingerprint: a newer base image makes another generation of the same version."""
    return (one.version, one.digest) == (other.version, other.digest)


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
        id=f"{serving.fingerprint}-{now.strftime('%Y%m%dT%H%M%S%f')}-review",
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
