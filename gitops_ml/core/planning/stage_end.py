"""When a candidate among users leaves its stage: for the next one, or for a verdict."""

from __future__ import annotations

from typing import Literal

import msgspec

from gitops_ml.core.journal.entries import Cleared, Stepped
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning import plan
from gitops_ml.core.verification.verdict import CheckResult

StageEnd = Literal["verdict", "next stage"]


def end_of_stage(watch: plan.Watch, check: CheckResult, *, goal_reached: bool, elapsed: float) -> StageEnd | None:
    """What ends the stage now; None while it goes on.

    Args:
        check: the candidate's check at this moment.
        goal_reached: whether this stage has shown its part of what the check needs.
        elapsed: seconds since the test of this stage began.
    """
    if check.result == "fail":
        return "verdict"
    if watch.is_last and check.result == "pass":
        return "verdict"
    if not watch.is_last and goal_reached:
        return "next stage"
    return "verdict" if elapsed >= watch.timeout_seconds else None


def next_stage(watch: plan.Watch, attempt: Attempt, check: CheckResult, at: str) -> tuple[Cleared | Stepped, ...]:
    """The journal entries that begin the next stage.

    Where the next stage begins a new test, the present stage was a shadow: its check is kept as one that was passed.

    Args:
        at: the engine's clock, ISO 8601.
    """
    name, stage = watch.deployment, watch.stage + 1
    step = Stepped(at=at, attempt=attempt.id, deployment=name, stage=stage, anew=watch.new_test)
    if not watch.new_test:
        return (step,)
    checks = (*attempt.checks, msgspec.structs.replace(check, name="traffic mirrored"))
    return Cleared(at=at, attempt=attempt.id, deployment=name, checks=checks), step
