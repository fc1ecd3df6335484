"""What ends a stage of a candidate among users, and what the journal gets then."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.core.declaration.checks import SubscribersCheck, Traffic
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Cleared, Stepped
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.stage_end import StageEnd, end_of_stage, next_stage
from gitops_ml.core.verification.verdict import CheckResult, Result
from tests.unit.builders import NOW, generation

V1, V2 = generation("v1"), generation("v2")
AT = NOW.isoformat()
READY = CheckResult(name="ready", result="pass", reason="it answers")


def watch(candidate: Generation = V2, **fields: Any) -> plan.Watch:
    """Stage 1 of 2 of a canary, which must decide within 10 minutes."""
    return plan.Watch(
        **{
            "because": "it is not decided",
            "deployment": "churn",
            "generation": candidate,
            "incumbent": V1,
            "attempt": attempt(),
            "traffic": Traffic(timeout="10m"),
            "subscribers": SubscribersCheck(timeout="20m"),
            "stage": 0,
            "stages": 2,
            "percent": 5,
            "mirror": False,
            "new_test": False,
            "alpha": 0.05,
            "goal": 4.0,
            **fields,
        }
    )


def attempt() -> Attempt:
    return Attempt(id="a", generation=V2, incumbent=V1, strategy="canary", key="k", started=AT, checks=(READY,))


def traffic(result: Result) -> CheckResult:
    return CheckResult(name="traffic", result=result, reason="counted")


@pytest.mark.parametrize(
    ("stage", "result", "goal_reached", "elapsed", "end"),
    [
        (0, "inconclusive", False, 5, None),
        (0, "inconclusive", True, 5, "next stage"),
        (0, "pass", True, 5, "next stage"),
        (0, "fail", False, 5, "verdict"),
        (0, "fail", True, 5, "verdict"),
        (0, "inconclusive", False, 599, None),
        (0, "inconclusive", False, 600, "verdict"),
        (0, "inconclusive", True, 600, "next stage"),
        (1, "inconclusive", True, 5, None),
        (1, "inconclusive", False, 600, "verdict"),
        (1, "pass", True, 5, "verdict"),
        (1, "fail", False, 5, "verdict"),
    ],
)
def test_what_ends_a_stage(
    stage: int, result: Result, goal_reached: bool, elapsed: float, end: StageEnd | None
) -> None:
    assert end_of_stage(watch(stage=stage), traffic(result), goal_reached=goal_reached, elapsed=elapsed) == end


def test_a_published_candidate_has_the_time_of_its_subscribers() -> None:
    published = watch(msgspec.structs.replace(V2, published=True))
    assert end_of_stage(published, traffic("inconclusive"), goal_reached=False, elapsed=1199) is None
    assert end_of_stage(published, traffic("inconclusive"), goal_reached=False, elapsed=1200) == "verdict"


def test_the_next_stage_goes_on_with_the_same_test() -> None:
    assert next_stage(watch(), attempt(), traffic("inconclusive"), AT) == (
        Stepped(at=AT, attempt="a", deployment="churn", stage=1, anew=False),
    )


def test_a_canary_after_a_shadow_begins_a_new_test_and_keeps_the_result_of_the_shadow() -> None:
    mirrored = CheckResult(name="traffic mirrored", result="pass", reason="counted")
    assert next_stage(watch(mirror=True, new_test=True), attempt(), traffic("pass"), AT) == (
        Cleared(at=AT, attempt="a", deployment="churn", checks=(READY, mirrored)),
        Stepped(at=AT, attempt="a", deployment="churn", stage=1, anew=True),
    )


def test_a_mirror_gives_both_generations_as_many_requests() -> None:
    assert watch(percent=100, mirror=True).expected_percent == 50
    assert watch().expected_percent == 5
