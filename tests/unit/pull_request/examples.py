"""Ten pull requests of different kinds. Their comments are in docs/examples/, as a forge shows them.

python -m tests.unit.pull_request.examples    # write them anew
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from gitops_ml.core.pull_request.comment import comment
from gitops_ml.core.pull_request.facts import PullRequest, Upstream
from tests.unit.pull_request.builders import (
    NOW,
    deployment,
    desired,
    facts,
    gain,
    host,
    model,
    record,
    request,
    slice_of,
)

FOLDER = Path(__file__).parents[3] / "docs" / "examples"
_CANARY: dict[str, Any] = {
    "rollout": {"strategy": "canary", "steps": [5, 25, 50]},
    "verify": {
        "holdout": {"data": "data/holdout.parquet", "metrics": {"roc_auc": {"min": 0.7, "max_drop": 0.01}}},
        "traffic": {"max_bad_increase": 0.01, "slow": "200ms", "timeout": "6h"},
    },
}
_WORSE = (gain("roc_auc", 0.7558, 0.7167, -0.0504, -0.0279), gain("brier", 0.151, 0.163, -0.016, -0.008))
_EQUAL = (gain("roc_auc", 0.7558, 0.7561, -0.0021, 0.0027),)


def _bump(**fields: Any) -> PullRequest:
    upstream = Upstream(name="staging", soak=3600.0, records={"churn": record("v2", settled=NOW - timedelta(hours=2))})
    changed = facts(
        desired(deployment("v1", **_CANARY)),
        desired(deployment("v2", **_CANARY)),
        host=host(12.0),
        upstream=upstream,
    )
    return request(changed, **fields)


def examples() -> dict[str, PullRequest]:
    """The pull requests, by the name of their file."""
    blue = deployment("v1")
    return {
        "better-model": _bump(models=(model(),)),
        "worse-model": _bump(
            models=(
                model(
                    slice_of("carrier", "UA", 0.34),
                    slice_of("month", "7", 0.2),
                    checks=_WORSE,
                    flips=(410, 1_190),
                    metrics={"roc_auc": (0.76, 0.72)},
                ),
            )
        ),
        "equal-model": _bump(
            models=(
                model(
                    slice_of("carrier", "UA", 0.02), checks=_EQUAL, flips=(61, 58), metrics={"roc_auc": (0.76, 0.76)}
                ),
            )
        ),
        "data-only": request(facts(desired(blue), desired(blue))),
        "scale": request(facts(desired(deployment(replicas=2)), desired(deployment(replicas=3)), host=host(12.0))),
        "strategy": request(
            facts(desired(deployment(rollout={"strategy": "blue-green"})), desired(deployment(**_CANARY)))
        ),
        "slow-canary": request(
            facts(desired(deployment("v1", **_CANARY)), desired(deployment("v2", **_CANARY)), host=host(0.02))
        ),
        "removal": request(facts(desired(blue, deployment(name="fraud")), desired(blue), host=host(12.0))),
        "hold": request(
            facts(
                desired(blue),
                desired(deployment("v2", hold={"reason": "fair week", "until": NOW + timedelta(days=8)})),
            )
        ),
        "record-touched": request(
            facts(desired(blue), desired(deployment("v2", digest=None))),
            touched_records=("environments/prod/records/churn.yaml",),
        ),
        "broken-file": request(
            facts(
                desired(blue),
                desired(
                    broken={"churn": "environments/prod/models/churn.yaml:6: unknown key `replica`\n  fix: replicas"}
                ),
            )
        ),
    }


def written() -> dict[str, str]:
    """The comments, by the name of their file."""
    return {name: comment(pull_request) + "\n" for name, pull_request in examples().items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in written().items():
        (FOLDER / f"{name}.md").write_text(text)
