"""An open rollout continues, whatever is declared since it began."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.core.declaration.schema import Rollout
from gitops_ml.core.journal.entries import Cleared, Counted, Stepped
from gitops_ml.core.journal.fold import Entry
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.verification.statistics.sequential import Evidence
from tests.effort import examples
from tests.unit.builders import NAME, replica, wanted
from tests.unit.journals import attempt_id, built, intent, promoted
from tests.unit.snapshots import V1, V2, inputs, serving

AT = "2026-11-23T08:00:50+00:00"
STRATEGIES = st.sampled_from(["recreate", "blue-green", "canary", "shadow"])
ROLLOUTS = st.builds(
    Rollout,
    strategy=STRATEGIES,
    steps=st.lists(st.integers(1, 99), min_size=1, max_size=5).map(tuple),
    then=st.sampled_from(["blue-green", "canary"]),
)


def declared(rollout: Rollout, **options: Any) -> PlannedDeployment:
    """v2 with this rollout."""
    deployment = wanted("v2", **options)
    declaration = msgspec.structs.replace(deployment.resolved.declaration, rollout=rollout)
    resolved = msgspec.structs.replace(deployment.resolved, declaration=declaration)
    return msgspec.structs.replace(deployment, resolved=resolved)


def journal(strategy: str, stage: int | None, *, cleared: bool = True, counted: bool = False) -> list[Entry]:
    """v1 serves, and a rollout of v2 that began with this strategy has reached this stage."""
    about: dict[str, Any] = {"at": AT, "attempt": attempt_id(V2), "deployment": NAME}
    entries: list[Entry] = [*promoted(V1), intent(V2, V1, strategy=strategy), built(V2)]
    if cleared:
        entries.append(Cleared(**about, checks=()))
    if stage is not None:
        entries.append(Stepped(**about, stage=stage, anew=True))
    if counted:
        entries.append(Counted(**about, evidence=Evidence(), cursor=AT))
    return entries


@settings(max_examples=examples(300), deadline=None)
@given(
    began=STRATEGIES,
    stage=st.none() | st.integers(0, 6),
    cleared=st.booleans(),
    counted=st.booleans(),
    now=ROLLOUTS,
    replicas=st.integers(1, 3),
)
def test_an_open_rollout_has_a_plan_whatever_is_declared_now(
    began: str, stage: int | None, cleared: bool, counted: bool, now: Rollout, replicas: int
) -> None:
    entries = journal(began, stage, cleared=cleared, counted=counted)
    there = serving(V1, replica(V1), replica(V2), journal=entries)
    actions = make_plan(inputs(there, declared(now, replicas=replicas))).actions
    for watch in [action for action in actions if isinstance(action, plan.Watch)]:
        assert 0 <= watch.stage < watch.stages
        assert watch.mirror or watch.percent in now.steps
        assert 1 < watch.goal <= 1 / watch.alpha * (1 + 1e-9)


def watched(began: str, stage: int, now: Rollout) -> tuple[int, int, int, bool]:
    there = serving(V1, replica(V1), replica(V2), journal=journal(began, stage))
    (watch,) = (a for a in make_plan(inputs(there, declared(now))).actions if isinstance(a, plan.Watch))
    return watch.stage, watch.stages, watch.percent, watch.mirror


@pytest.mark.parametrize(
    ("began", "stage", "now", "expected"),
    [
        ("canary", 2, Rollout(strategy="canary", steps=(10,)), (0, 1, 10, False)),
        ("canary", 1, Rollout(strategy="blue-green", steps=(5, 25)), (1, 2, 25, False)),
        ("canary", 0, Rollout(strategy="shadow", steps=(5, 25)), (0, 2, 5, False)),
        ("shadow", 0, Rollout(strategy="canary", steps=(5, 25)), (0, 1, 100, True)),
        ("shadow", 2, Rollout(strategy="shadow", steps=(5, 25), then="blue-green"), (2, 3, 25, False)),
    ],
)
def test_an_open_rollout_keeps_its_kind_of_traffic(
    began: str, stage: int, now: Rollout, expected: tuple[int, int, int, bool]
) -> None:
    """Evidence of a shadow's copies must never count for users' requests, nor the other way round."""
    assert watched(began, stage, now) == expected
