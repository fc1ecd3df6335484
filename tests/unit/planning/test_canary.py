"""The checks of a rollout share its error, and each kind of traffic has a test of its own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.planning.canary import shared_alpha, stages

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
