"""Rollouts that traffic decides: how the checks share their error, and replicas that hang meanwhile."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Cleared, Stepped
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning.canary import shared_alpha, stages
from gitops_ml.core.planning.context import split_route
from tests.unit.builders import generation, replica, wanted
from tests.unit.journals import attempt_id, built, intent
from tests.unit.snapshots import block, planned, rolling, serving, snapshot

V1, V2 = generation("v1"), generation("v2")
HOLDOUT = {"holdout": {"data": "rows.csv", "metrics": {"roc_auc": {"min": 0.7}}}}
BOTH = {"strategy": "shadow", "then": "canary"}


@pytest.mark.parametrize(
    ("rollout", "verify", "by_traffic", "checks"),
    [
        ({"strategy": "canary"}, {}, True, 1),
        ({"strategy": "canary"}, HOLDOUT, True, 2),
        ({"strategy": "shadow"}, HOLDOUT, True, 2),
        (BOTH, {}, True, 2),
        (BOTH, HOLDOUT, True, 3),
        (BOTH, HOLDOUT, False, 1),
        ({"strategy": "blue-green"}, {}, False, 1),
    ],
)
def test_the_error_is_shared_by_all_tests(
    rollout: dict[str, Any], verify: dict[str, Any], by_traffic: bool, checks: int
) -> None:
    content = {"schema": 1, "model": "churn", "version": "v1", "rollout": rollout, "verify": verify}
    declared = msgspec.convert(content, Deployment)
    traffic_stages = stages(declared.rollout, declared.rollout.strategy) if by_traffic else ()
    assert shared_alpha(declared, traffic_stages) == pytest.approx(0.05 / checks)


# --- replicas that do not answer, while a candidate has traffic


def canary(hanging: Generation) -> Snapshot:
    """v2 is among users beside v1, and the one replica of `hanging` has not answered for longer than a start takes."""
    old, new = replica(V1), replica(V2)
    begun = Cleared(at=intent(V2, V1).at, attempt=attempt_id(V2), deployment="churn", checks=())
    step = Stepped(at=begun.at, attempt=attempt_id(V2), deployment="churn", stage=0, anew=True)
    seen = serving(V1, old, new, journal=rolling(built(V2), begun, step, strategy="canary"))
    route = split_route("churn", (V1, [old]), (V2, [new]), percent=5, mirror=False, pin_header=False)
    silent = {replica(hanging).id: hanging.start_timeout + 1}
    routed = snapshot(old, new, routes={"churn": route}, journal=())
    return msgspec.structs.replace(seen, routes=routed.routes, loaded=routed.loaded, unresponsive=silent)


def test_an_incumbent_that_does_not_answer_is_replaced_beside_the_canary() -> None:
    assert planned(canary(V1), wanted("v2", strategy="canary")) == block(
        """
        start dev/churn 111111111111 x1 because 0 of 1 replicas run
        shift dev/churn 222222222222 5% because its route is not what it should be
        remove dev/churn 111111111111 because a replica does not answer
        watch dev/churn 222222222222 5% because stage 1 of 3 is not decided
        """
    )


def test_a_candidate_that_does_not_answer_is_judged_and_not_replaced() -> None:
    assert planned(canary(V2), wanted("v2", strategy="canary")) == block(
        "watch dev/churn 222222222222 5% because stage 1 of 3 is not decided"
    )
