"""The holdout check: a candidate on labelled rows, against absolute bounds and, paired, against the
incumbent.

It reads what both models answered to the same rows and gives one result per metric. Everything that would
make the figures meaningless (rows that a model was trained on, too few groups, one class only, answers that
are not numbers) is inconclusive and says so, since a figure that looks like evidence is worse than none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.core.declaration.schema import Bound, Holdout
from gitops_ml.core.verification.answers import Answers, LabelledRows, NoAnswer, sample_of
from gitops_ml.core.verification.metrics import Metric, Sample, metric_named, statistic
from gitops_ml.core.verification.noninferiority import MIN_GROUPS, REPLICATES, Interval, paired_intervals, seed_of
from gitops_ml.core.verification.verdict import CheckResult, Figure
from gitops_ml.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MIN_PER_CLASS = 10
"""Rows of each class below which a classifier is not judged."""


def judge_holdout(
    *,
    spec: Holdout,
    rows: LabelledRows,
    manifest: Manifest,
    candidate: Answers | NoAnswer,
    incumbent: Answers | NoAnswer | None,
    incumbent_manifest: Manifest | None = None,
    alpha: float = 0.05,
    replicates: int = REPLICATES,
) -> list[CheckResult]:
    """One result per metric, or one for all where none can be judged.

    `incumbent` is None on a first deployment; it and an incumbent that cannot answer leave the absolute
    bounds. `alpha` is the two-sided error of each interval; the half that can stop a candidate is divided by
    the number of metrics, the half that lets it pass is not, since it has to pass them all (Berger 1982,
    intersection-union). Nothing is raised for data or answers: what cannot be judged is inconclusive.
    """
    if not spec.metrics:
        return [_single("inconclusive", "no metric is declared")]
    unfit = _unfit(rows, manifest, incumbent_manifest if isinstance(incumbent, Answers) else None)
    if unfit:
        return [unfit]
    if isinstance(candidate, NoAnswer):
        refused = candidate.refused and not isinstance(incumbent, NoAnswer)
        return [_single("fail" if refused else "inconclusive", f"the candidate gave no answers: {candidate.reason}")]
    codes, groups = _codes(rows)
    few = _few(spec, rows, manifest, groups)
    if few:
        return [few]
    results, dated = [], rows.times is not None
    for name, bound in sorted(spec.metrics.items()):
        try:
            metric = metric_named(name)
            ours = sample_of(candidate, rows, manifest, metric)
            theirs, unpaired = _incumbent_sample(incumbent, rows, incumbent_manifest or manifest, metric)
        except InputError as error:
            results.append(_result(name, "inconclusive", str(error).split("\n")[0]))
            continue
        samples = [ours] if theirs is None else [ours, theirs]
        intervals = paired_intervals(
            [statistic(metric, sample, codes, groups) for sample in samples],
            groups,
            tails=_tails(metric, alpha, len(spec.metrics)),
            seed=seed_of(name.encode(), codes.tobytes(), *(sample.predicted.tobytes() for sample in samples)),
            replicates=replicates,
        )
        figures: dict[str, Figure] = {
            "rows": len(rows.labels),
            "groups": groups,
            "group": spec.group or "row",
        }
        results.append(_judge(metric, bound, intervals, unpaired, figures, replicates, dated, incumbent is None))
    return results


def _tails(metric: Metric, alpha: float, metrics: int) -> tuple[float, float]:
    passing, stopping = alpha / 2, alpha / 2 / metrics
    return (stopping, passing) if metric.lower_is_better else (passing, stopping)


def _judge(
    metric: Metric,
    bound: Bound,
    intervals: list[Interval],
    unpaired: str,
    figures: dict[str, Figure],
    replicates: int,
    dated: bool,
    first: bool,
) -> CheckResult:
    """The bounds of one metric against its intervals. A gain is positive where the candidate is better."""
    ours = intervals[0]
    figures |= {"candidate": ours.point, "candidate_low": ours.low, "candidate_high": ours.high}
    figures |= {"min": bound.min, "max": bound.max, "max_drop": bound.max_drop}
    if not dated:
        figures["training_overlap"] = "not checked: the rows carry no time"
    undefined = max(interval.undefined for interval in intervals)
    if not all(math.isfinite(interval.point) for interval in intervals) or undefined > replicates // 100:
        reason = f"{metric.name} is not defined on these rows ({undefined} of {replicates} resamples)"
        return _result(metric.name, "inconclusive", reason, figures)
    if bound.min is not None and ours.point < bound.min:
        return _result(metric.name, "fail", f"{metric.name} {ours.point:.4f} is below min {bound.min:g}", figures)
    if bound.max is not None and ours.point > bound.max:
        return _result(metric.name, "fail", f"{metric.name} {ours.point:.4f} is above max {bound.max:g}", figures)
    absolute = bound.min is not None or bound.max is not None
    within = f"{metric.name} {ours.point:.4f} keeps its bounds" if absolute else f"{metric.name} {ours.point:.4f}"
    if len(intervals) == 1:
        figures["incumbent"] = None
        judged = absolute or first
        return _result(metric.name, "pass" if judged else "inconclusive", f"{within}; {unpaired}", figures)
    theirs, difference = intervals[1], intervals[2]
    sign = -1 if metric.lower_is_better else 1
    low, high = sorted((sign * difference.low + 0.0, sign * difference.high + 0.0))  # -0.0 reads badly
    figures |= {
        "incumbent": theirs.point,
        "gain": sign * difference.point,
        "gain_low": low,
        "gain_high": high,
    }
    if bound.max_drop is None:
        reason = within if absolute else f"no bound is declared for {metric.name}"
        return _result(metric.name, "pass" if absolute else "inconclusive", reason, figures)
    versus = f"{metric.name} {ours.point:.4f} against the incumbent's {theirs.point:.4f}"
    change = f"{versus}: gain {low:+.4f} to {high:+.4f}"
    if high < -bound.max_drop:
        return _result(metric.name, "fail", f"{change}, worse by more than {bound.max_drop:g}", figures)
    if low > -bound.max_drop or low == high == 0:
        return _result(metric.name, "pass", f"{change}, not worse by {bound.max_drop:g}", figures)
    return _result(metric.name, "inconclusive", f"{change}, which {-bound.max_drop:g} lies within", figures)


def _unfit(rows: LabelledRows, manifest: Manifest, incumbent: Manifest | None) -> CheckResult | None:
    """Rows that a model was trained on say nothing about rows that it was not."""
    import numpy as np

    if rows.times is None:
        return None
    figures: dict[str, Figure] = {"rows": len(rows.labels)}
    said = []
    for whose, known in (("candidate", manifest), ("incumbent", incumbent)):
        span = known.trained if known else None
        if span is None:
            continue
        first, last = (np.datetime64(end.replace(tzinfo=None)) for end in span)
        seen = int(((rows.times >= first) & (rows.times <= last)).sum())
        figures[f"{whose}_training_rows"] = seen
        if seen:
            said.append(f"{seen} of {len(rows.labels)} rows lie in the {whose}'s training range {first} to {last}")
    return _single("inconclusive", "; ".join(said), figures) if said else None


def _codes(rows: LabelledRows) -> tuple[NDArray[np.int64], int]:
    import numpy as np

    if rows.groups is None:
        return np.arange(len(rows.labels)), len(rows.labels)
    values, codes = np.unique(rows.groups, return_inverse=True)
    return codes.astype(np.int64).reshape(-1), len(values)


def _few(spec: Holdout, rows: LabelledRows, manifest: Manifest, groups: int) -> CheckResult | None:
    import numpy as np

    figures: dict[str, Figure] = {"rows": len(rows.labels), "groups": groups}
    if groups < MIN_GROUPS:
        unit = f"groups of `{spec.group}`" if spec.group else "rows"
        reason = f"{groups} {unit} are too few to judge by: fewer than {MIN_GROUPS} give no interval to rely on"
        return _single("inconclusive", reason, figures)
    if manifest.task == "classification":
        values, counts = np.unique(rows.labels, return_counts=True)
        figures["classes"] = [str(value) for value in values]
        if len(values) < 2:
            return _single("inconclusive", f"the rows hold one class only, {values[0]}", figures)
        if counts.min() < MIN_PER_CLASS:
            rare = values[counts.argmin()]
            reason = f"class {rare} has {counts.min()} rows, fewer than the {MIN_PER_CLASS} that are needed"
            return _single("inconclusive", reason, figures)
    return None


def _incumbent_sample(
    incumbent: Answers | NoAnswer | None, rows: LabelledRows, manifest: Manifest, metric: Metric
) -> tuple[Sample | None, str]:
    """The incumbent's answers, or why there are none to pair with."""
    if incumbent is None:
        return None, "there is no incumbent to compare with"
    if isinstance(incumbent, NoAnswer):
        return (
            None,
            f"the incumbent cannot answer these rows ({incumbent.reason}), so only the bounds were judged",
        )
    try:
        return sample_of(incumbent, rows, manifest, metric), ""
    except InputError as error:
        why = str(error).split("\n")[0]
        return None, f"the incumbent cannot be compared ({why}), so only the bounds were judged"


def _single(result: Any, reason: str, figures: dict[str, Figure] | None = None) -> CheckResult:
    return CheckResult(name="holdout", result=result, reason=reason, figures=figures or {})


def _result(metric: str, result: Any, reason: str, figures: dict[str, Figure] | None = None) -> CheckResult:
    return CheckResult(name=f"holdout {metric}", result=result, reason=reason, figures=figures or {})
