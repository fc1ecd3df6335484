"""The holdout check: judge a candidate on labelled rows, by absolute bounds and in pairs with the incumbent.

Both models answer the same rows, and each metric gives one result. What would make the figures meaningless gives
inconclusive with the reason: rows that a model was trained on, too few groups, a single class, answers that are not
numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.core.declaration.checks import Bound, Holdout
from gitops_ml.core.verification.answers import Answers, LabelledRows, ModelAnswers, NoAnswer, sample_of
from gitops_ml.core.verification.holdout_metrics import ALPHA, MIN_GROUPS, Metric, metric_named
from gitops_ml.core.verification.statistics.calibration import calibration
from gitops_ml.core.verification.statistics.metrics import LabelledAnswers, statistic
from gitops_ml.core.verification.statistics.noninferiority import REPLICATES, Interval, paired_intervals, seed_of
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result
from gitops_ml.errors import InputError

MIN_PER_CLASS = 10
"""A classifier is not judged on fewer rows of one class than this."""
_MAX_UNDEFINED = 0.01
"""The share of resamples in which a metric may be undefined."""


@dataclass(frozen=True)
class _Estimate:
    """One metric's intervals: the candidate's, and if it is paired, the incumbent's and that of their difference.

    `unpaired` says why the incumbent has none. `first` marks a deployment without an incumbent.
    """

    intervals: list[Interval]
    replicates: int
    unpaired: str
    first: bool

    @property
    def defined(self) -> bool:
        """Whether every point estimate, and nearly every resample, gave a value."""
        points = all(math.isfinite(interval.point) for interval in self.intervals)
        return points and self.undefined <= self.replicates * _MAX_UNDEFINED

    @property
    def undefined(self) -> int:
        """The resamples that gave no value, of the interval that has most of them."""
        return max(interval.undefined for interval in self.intervals)


def judge_holdout(
    spec: Holdout,
    rows: LabelledRows,
    candidate: ModelAnswers,
    incumbent: ModelAnswers | None,
    *,
    alpha: float = ALPHA,
    replicates: int = REPLICATES,
) -> list[CheckResult]:
    """Judge a candidate: one result per metric, or a single one if no metric can be judged.

    Raises nothing for data or answers: what cannot be judged is inconclusive.

    Args:
        incumbent: None for a first deployment. Without its answers, only the absolute bounds are judged.
        alpha: two-sided error of each interval. The half that can stop a candidate is divided by the number of
            metrics. The half that lets it pass is not, since it must pass them all (Berger 1982, Technometrics
            24:295-300, intersection-union test).
        replicates: resamples of each interval.
    """
    if not spec.metrics:
        return [_single("inconclusive", "no metric is declared")]
    seen_in_training = _seen_in_training(rows, candidate, incumbent)
    if seen_in_training:
        return [seen_in_training]
    if isinstance(candidate.answers, NoAnswer):
        comparable = incumbent is None or isinstance(incumbent.answers, Answers)
        result: Result = "fail" if candidate.answers.refused and comparable else "inconclusive"
        return [_single(result, f"the candidate gave no answers: {candidate.answers.reason}")]
    codes, groups = _group_codes(rows)
    too_few = _too_few(spec, rows, candidate.manifest, groups)
    if too_few:
        return [too_few]
    results = []
    for name, bound in sorted(spec.metrics.items()):
        try:
            metric = metric_named(name)
            candidate_sample = sample_of(candidate.answers, rows, candidate.manifest, metric)
            incumbent_sample, unpaired = _incumbent_sample(incumbent, rows, metric)
        except InputError as error:
            results.append(_result(name, "inconclusive", _first_line(error)))
            continue
        samples = [candidate_sample] if incumbent_sample is None else [candidate_sample, incumbent_sample]
        intervals = paired_intervals(
            [statistic(metric, sample, codes, groups) for sample in samples],
            groups,
            tails=_tails(metric, alpha, len(spec.metrics)),
            seed=seed_of(name.encode(), codes.tobytes(), *(sample.predicted.tobytes() for sample in samples)),
            replicates=replicates,
        )
        figures: dict[str, Figure] = {"rows": len(rows.labels), "groups": groups, "group": spec.group or "row"}
        if rows.times is None:
            figures["training_overlap"] = "not checked: the rows carry no time"
        if metric.kind in ("ranking", "probability") and not any(map(_is_calibration_in, results)):
            figures |= _calibration(candidate_sample)
        estimate = _Estimate(intervals, replicates, unpaired, first=incumbent is None)
        results.append(_judge(metric, bound, estimate, figures))
    return results


def _calibration(sample: LabelledAnswers) -> dict[str, Figure]:
    """How well the probabilities of two classes fit what came true; nothing for more classes."""
    if sample.probability is None or sample.positive is None or sample.classes != 2:
        return {}
    predicted, observed = calibration(sample.truth == sample.positive, sample.probability[:, sample.positive])
    return {"calibration_predicted": [*predicted], "calibration_observed": [*observed]}


def _is_calibration_in(check: CheckResult) -> bool:
    """Whether a check holds the calibration already: it is the same for all metrics."""
    return "calibration_predicted" in check.figures


def _tails(metric: Metric, alpha: float, metrics: int) -> tuple[float, float]:
    passing, stopping = alpha / 2, alpha / 2 / metrics
    return (stopping, passing) if metric.lower_is_better else (passing, stopping)


def _judge(metric: Metric, bound: Bound, estimate: _Estimate, figures: dict[str, Figure]) -> CheckResult:
    """Judge one metric by its bounds: first by the absolute ones, then against the incumbent."""
    name, candidate = metric.name, estimate.intervals[0]
    figures |= {"candidate": candidate.point, "candidate_low": candidate.low, "candidate_high": candidate.high}
    figures |= {"min": bound.min, "max": bound.max, "max_drop": bound.max_drop}
    value = f"{name} {candidate.point:.4f}"
    if not estimate.defined:
        reason = f"{name} is not defined on these rows ({estimate.undefined} of {estimate.replicates} resamples)"
        return _result(name, "inconclusive", reason, figures)
    if bound.min is not None and candidate.point < bound.min:
        return _result(name, "fail", f"{value} is below min {bound.min:g}", figures)
    if bound.max is not None and candidate.point > bound.max:
        return _result(name, "fail", f"{value} is above max {bound.max:g}", figures)
    absolute = bound.min is not None or bound.max is not None
    within = f"{value} is within its bounds" if absolute else value
    if len(estimate.intervals) == 1:
        figures["incumbent"] = None
        judged = absolute or estimate.first
        return _result(name, "pass" if judged else "inconclusive", f"{within}; {estimate.unpaired}", figures)
    low, high = _gain(metric, estimate, figures)
    if bound.max_drop is None:
        reason = within if absolute else f"no bound is declared for {name}"
        return _result(name, "pass" if absolute else "inconclusive", reason, figures)
    change = f"{value} against the incumbent's {estimate.intervals[1].point:.4f}: gain {low:+.4f} to {high:+.4f}"
    if high < -bound.max_drop:
        return _result(name, "fail", f"{change}, worse by more than {bound.max_drop:g}", figures)
    if low > -bound.max_drop or low == high == 0:
        return _result(name, "pass", f"{change}, not worse by {bound.max_drop:g}", figures)
    return _result(name, "inconclusive", f"{change}, and {-bound.max_drop:g} lies between them", figures)


def _gain(metric: Metric, estimate: _Estimate, figures: dict[str, Figure]) -> tuple[float, float]:
    """The interval of the candidate's gain, positive if the candidate is better; also written into `figures`."""
    _, incumbent, difference = estimate.intervals
    sign = -1 if metric.lower_is_better else 1
    low, high = sorted((sign * difference.low + 0.0, sign * difference.high + 0.0))  # + 0.0 turns -0.0 into 0.0
    figures |= {"incumbent": incumbent.point, "gain": sign * difference.point, "gain_low": low, "gain_high": high}
    return low, high


def _seen_in_training(
    rows: LabelledRows, candidate: ModelAnswers, incumbent: ModelAnswers | None
) -> CheckResult | None:
    """Inconclusive if rows lie in a model's training range: they say nothing about rows that it has not seen."""
    if rows.times is None:
        return None
    figures: dict[str, Figure] = {"rows": len(rows.labels)}
    overlaps = []
    answered = incumbent if incumbent and isinstance(incumbent.answers, Answers) else None
    for whose, model in (("candidate", candidate), ("incumbent", answered)):
        span = model.manifest.trained if model else None
        if span is None:
            continue
        first, last = (np.datetime64(end.replace(tzinfo=None)) for end in span)
        seen = int(((rows.times >= first) & (rows.times <= last)).sum())
        figures[f"{whose}_training_rows"] = seen
        if seen:
            overlaps.append(f"{seen} of {len(rows.labels)} rows lie in the {whose}'s training range {first} to {last}")
    return _single("inconclusive", "; ".join(overlaps), figures) if overlaps else None


def _group_codes(rows: LabelledRows) -> tuple[NDArray[np.int64], int]:
    """Each row's group as a number from 0, of shape (n,), and how many groups there are."""
    if rows.groups is None:
        return np.arange(len(rows.labels)), len(rows.labels)
    values, codes = np.unique(rows.groups, return_inverse=True)
    return codes.astype(np.int64).reshape(-1), len(values)


def _too_few(spec: Holdout, rows: LabelledRows, manifest: Manifest, groups: int) -> CheckResult | None:
    """Inconclusive if there are too few groups, classes, or rows of a class to judge by."""
    figures: dict[str, Figure] = {"rows": len(rows.labels), "groups": groups}
    if groups < MIN_GROUPS:
        unit = f"groups of `{spec.group}`" if spec.group else "rows"
        reason = f"{groups} {unit} are too few: a reliable interval needs at least {MIN_GROUPS}"
        return _single("inconclusive", reason, figures)
    if manifest.task == "classification":
        values, counts = np.unique(rows.labels, return_counts=True)
        figures["classes"] = [str(value) for value in values]
        if len(values) < 2:
            return _single("inconclusive", f"the rows hold one class only, {values[0]}", figures)
        if counts.min() < MIN_PER_CLASS:
            rare = values[counts.argmin()]
            reason = f"class {rare} has {counts.min()} rows, and {MIN_PER_CLASS} are needed"
            return _single("inconclusive", reason, figures)
    return None


def _incumbent_sample(
    incumbent: ModelAnswers | None, rows: LabelledRows, metric: Metric
) -> tuple[LabelledAnswers | None, str]:
    """The incumbent's answers, or None and the reason why there are none to pair with."""
    if incumbent is None:
        return None, "there is no incumbent to compare with"
    if isinstance(incumbent.answers, NoAnswer):
        reason = incumbent.answers.reason
        return None, f"the incumbent cannot answer these rows ({reason}), so only the bounds were judged"
    try:
        return sample_of(incumbent.answers, rows, incumbent.manifest, metric), ""
    except InputError as error:
        return None, f"the incumbent cannot be compared ({_first_line(error)}), so only the bounds were judged"


def _first_line(error: InputError) -> str:
    """What is wrong and why, without the fix: a reason is one line."""
    return str(error).split("\n")[0]


def _single(result: Result, reason: str, figures: dict[str, Figure] | None = None) -> CheckResult:
    return CheckResult(name="holdout", result=result, reason=reason, figures=figures or {})


def _result(metric: str, result: Result, reason: str, figures: dict[str, Figure] | None = None) -> CheckResult:
    return CheckResult(name=f"holdout {metric}", result=result, reason=reason, figures=figures or {})
