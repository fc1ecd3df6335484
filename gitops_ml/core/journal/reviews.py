"""Reviews: the serving generation is judged again, and what to return to if it fails.

A review starts nothing and routes nothing. It is kept as a settled attempt, so that record, revert, quarantine and
history treat its verdict like any other.
"""

from __future__ import annotations

from datetime import datetime

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import Attempt, DeploymentState
from gitops_ml.core.verification.verdict import CheckResult, Verdict, overall

STRATEGY = "review"


def newest_verdict(state: DeploymentState, generation: Generation) -> Verdict | None:
    """The newest verdict on a generation; None if there is none."""
    verdicts = [a.verdict for a in state.attempts if a.generation.fingerprint == generation.fingerprint and a.verdict]
    return verdicts[-1] if verdicts else None


def verified_before(state: DeploymentState, serving: Generation) -> Generation | None:
    """The generation to return to: the last other one that was promoted as Verified and has not failed since.

    Goes back at most once. If that generation fails too, the version is not the cause, and the result is None.
    """
    if _was_returned_to(state, serving):
        return None
    failed: set[str] = {serving.fingerprint}
    for attempt in reversed(state.attempts):
        if attempt.verdict == "Failed":
            failed.add(attempt.generation.fingerprint)
        if _promoted_as_verified(attempt) and attempt.generation.fingerprint not in failed:
            return attempt.generation
    return None


def _was_returned_to(state: DeploymentState, serving: Generation) -> bool:
    """Whether the serving generation serves because its successor failed a review."""
    promotions = [
        number
        for number, attempt in enumerate(state.attempts)
        if _promoted_as_verified(attempt) and _same_model(attempt.generation, serving)
    ]
    replaced = state.attempts[promotions[-1]].incumbent if len(promotions) > 1 else None
    if replaced is None:
        return False
    earlier = [a for a in state.attempts[: promotions[-1]] if a.generation.fingerprint == replaced.fingerprint]
    return bool(earlier) and (earlier[-1].strategy, earlier[-1].verdict) == (STRATEGY, "Failed")


def restored_generation(state: DeploymentState, attempt: Attempt) -> Generation | None:
    """The generation to declare again after a failed attempt: its incumbent, or None if there was none.

    If the incumbent has failed a review meanwhile, it is the generation that was verified before it, if there is one.
    """
    incumbent = attempt.incumbent
    if attempt.strategy == STRATEGY or incumbent is None or newest_verdict(state, incumbent) != "Failed":
        return incumbent
    return verified_before(state, incumbent) or incumbent


def is_tried_again(state: DeploymentState, attempt: Attempt) -> bool:
    """Whether a settled attempt no longer decides about its generation: a later attempt does, or is under way."""
    mark = attempt.generation.fingerprint
    if state.open and state.open.generation.fingerprint == mark:
        return True
    later = state.attempts[state.attempts.index(attempt) + 1 :]
    deciding = [a for a in later if a.outcome in ("promoted", "failed") or a.verdict == "Verified"]
    return any(a.generation.fingerprint == mark for a in deciding)


def candidate_has_users(state: DeploymentState) -> bool:
    """Whether a candidate answers some users now, so that the deployment's URL reaches two generations."""
    attempt = state.open
    if attempt is None or attempt.routed is None:
        return False
    return attempt.strategy == "canary" or bool(attempt.stage)  # in the first stage of a shadow, no user is answered


def returns_to_verified(state: DeploymentState, generation: Generation) -> bool:
    """Whether a rollout of `generation` returns to a verified version because the serving one failed a review.

    The incumbent is then no measure: the candidate must be within its absolute bounds, and takes over at once.
    """
    serving = state.serving
    if serving is None or newest_verdict(state, serving) != "Failed":
        return False
    return _was_verified(state, generation)


def goes_back(state: DeploymentState, generation: Generation) -> bool:
    """Whether a rollout of `generation` brings back a version that was Verified here before."""
    if state.serving is not None and _same_model(state.serving, generation):
        return False
    return _was_verified(state, generation)


def _was_verified(state: DeploymentState, generation: Generation) -> bool:
    return any(_promoted_as_verified(a) and _same_model(a.generation, generation) for a in state.attempts)


def _promoted_as_verified(attempt: Attempt) -> bool:
    return attempt.outcome == "promoted" and attempt.verdict == "Verified"


def _same_model(generation: Generation, other: Generation) -> bool:
    """Compare version and digest, since a newer base image gives the same version another fingerprint."""
    return (generation.version, generation.digest) == (other.version, other.digest)


def review_attempt(
    state: DeploymentState,
    serving: Generation,
    *,
    key: str,
    checks: tuple[CheckResult, ...],
    logs: str,
    started: datetime,
    now: datetime,
) -> Attempt:
    """The settled attempt that a review of `serving` is kept as. `key` is its quarantine key (`quarantine_key`)."""
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
