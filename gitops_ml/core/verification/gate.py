"""The gate between a model that was just trained and a tag: not worse than the incumbent, on the same held-out rows.

The same judgement as at a rollout (core.holdout: paired, whole groups resampled), earlier and cheaper: what does not
pass here gets no version, no commit and no container on a host that serves.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gitops_ml.core.declaration.schema import Bound, Holdout
from gitops_ml.core.verification.answers import LabelledRows, ModelAnswers
from gitops_ml.core.verification.holdout import judge_holdout
from gitops_ml.core.verification.verdict import CheckResult, Verdict, overall

DAY = 86400


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`retrain.gate` of params.yaml: labelled rows, and the bounds that a new model has to keep on them.

    Args:
        data: the rows, as the candidate's own commit pins them, so that they are the newest.
        metrics: bounds by metric, as in a deployment's `verify.holdout`.
        group: column of dependent rows.
        label: column of the truth; the manifest's target when null.
        rows: at most so many.
    """

    data: str = "data/holdout.parquet"
    metrics: dict[str, Bound] = {}
    group: str | None = None
    label: str | None = None
    rows: int | None = None

    def holdout(self) -> Holdout:
        """The same as the spec of a holdout check."""
        return Holdout(data=self.data, metrics=self.metrics, group=self.group, label=self.label, rows=self.rows)


class Gated(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate says. Only Verified opens it: not enough evidence is no pass."""

    verdict: Verdict
    checks: tuple[CheckResult, ...]


def judge_gate(gate: Gate, rows: LabelledRows, candidate: ModelAnswers, incumbent: ModelAnswers | None) -> Gated:
    """Judge a new model. `incumbent` is None if nothing serves yet: then only the absolute bounds are judged."""
    checks = judge_holdout(gate.holdout(), rows, candidate, incumbent)
    return Gated(verdict=overall(checks), checks=tuple(checks))


def made_within_a_day(created: Iterable[int], now: float) -> int:
    """How many of these times (epoch seconds) lie in the 24 hours before `now`."""
    return sum(now - DAY < time <= now for time in created)
