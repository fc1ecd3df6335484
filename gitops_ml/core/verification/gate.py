"""The gate of retraining: a new model gets a version only if it passes a holdout check against the incumbent.

This is the judgement of a rollout, made earlier: a model that does not pass gets no tag, no commit and no container.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gitops_ml.core.declaration.checks import Bound, Holdout
from gitops_ml.core.verification.answers import LabelledRows, ModelAnswers
from gitops_ml.core.verification.holdout import judge_holdout
from gitops_ml.core.verification.verdict import CheckResult, Verdict, overall

DAY = 86400


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`retrain.gate` of params.yaml: labelled rows, and a new model's bounds on them.

    Args:
        data: path of the rows. The candidate's own commit pins them, so they are the newest.
        metrics: bounds by metric, as in a deployment's `verify.holdout`.
        group: the column whose values group dependent rows.
        label: the column with the true values; null means the manifest's target.
        rows: the most rows to use; null means all.
    """

    data: str = "data/holdout.parquet"
    metrics: dict[str, Bound] = {}
    group: str | None = None
    label: str | None = None
    rows: int | None = None

    def holdout(self) -> Holdout:
        """The gate as a holdout check."""
        return Holdout(data=self.data, metrics=self.metrics, group=self.group, label=self.label, rows=self.rows)


class Gated(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's verdict. Only Verified lets a model pass."""

    verdict: Verdict
    checks: tuple[CheckResult, ...]


def judge_gate(gate: Gate, rows: LabelledRows, candidate: ModelAnswers, incumbent: ModelAnswers | None) -> Gated:
    """Judge a new model. `incumbent` is None if nothing serves yet: then only the absolute bounds are judged."""
    checks = judge_holdout(gate.holdout(), rows, candidate, incumbent)
    return Gated(verdict=overall(checks), checks=tuple(checks))


def made_within_a_day(created: Iterable[int], now: float) -> int:
    """Count the times that lie in the 24 hours before `now`; all in seconds since the epoch."""
    return sum(now - DAY < time <= now for time in created)
