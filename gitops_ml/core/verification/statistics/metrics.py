"""The arithmetic of the holdout check's metrics: each as a function of how often every group of rows was drawn.

A metric is computed for thousands of resamples without touching the rows again. Most metrics are ratios of sums over
rows, so sums per group are enough; the area under the ROC curve needs one count per pair of groups. Definitions, names
and conventions are scikit-learn's, with `sample_weight` as how often a row was drawn. The tests compare with
scikit-learn; importing it at run time would take longer than all the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gitops_ml.core.verification.holdout_metrics import Metric

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Statistic = Callable[[Floats], Floats]
"""From draws of shape (replicates, groups), how often each group was drawn, to values of shape (replicates,)."""
_PAIR_GROUPS = 400
"""With more groups than this, a table of all pairs of groups costs more than sorting the rows."""
_CELLS = 100_000
"""Array elements of one part of a cumulative sum: what fits the processor's cache."""
_PRODUCT_CELLS = 1_000_000
"""Array elements of one part of a matrix product, whose threads meet once for each part."""


@dataclass(frozen=True)
class LabelledAnswers:
    """True values and one model's answers to n rows.

    Classification: `truth` and `predicted` hold class numbers (0 … classes-1), `probability` is of shape (n,
    classes), `positive` the number of the positive class. Regression: `truth` and `predicted` hold values,
    `classes` is 0.
    """

    truth: NDArray[np.float64]
    predicted: NDArray[np.float64]
    probability: NDArray[np.float64] | None = None
    classes: int = 0
    positive: int | None = None


def statistic(metric: Metric, sample: LabelledAnswers, codes: Ints, groups: int) -> Statistic:
    """The metric as a function of draws. It gives NaN if the metric is undefined, such as a ranking of one class.

    Args:
        codes: shape (n,), each row's group number, 0 … groups-1.
    """
    if metric.kind == "ranking":
        if metric.name == "roc_auc":
            return _auc_by_rows(sample, codes) if groups > _PAIR_GROUPS else _auc_by_pairs(sample, codes, groups)
        return (
            _precision_by_rows(sample, codes) if groups > _PAIR_GROUPS else _precision_by_groups(sample, codes, groups)
        )
    if metric.kind == "class":
        return _confusion(metric.name, sample, codes, groups)
    return _sums(metric.name, sample, codes, groups)


def _positives(sample: LabelledAnswers) -> tuple[NDArray[np.bool_], Floats]:
    assert sample.probability is not None and sample.positive is not None  # see check_metric
    return sample.truth == sample.positive, sample.probability[:, sample.positive]


def _per_group(columns: list[Floats], codes: Ints, groups: int) -> Floats:
    return np.stack([np.bincount(codes, weights=column, minlength=groups) for column in columns], axis=1)


def _auc_by_pairs(sample: LabelledAnswers, codes: Ints, groups: int) -> Statistic:
    """The area under the ROC curve as a quadratic form in the draws.

    wins[g, h] counts the pairs of a positive in group g that ranks above a negative in group h. A tie counts one half
    (the Mann-Whitney form; Hanley & McNeil 1982, Radiology 143:29-36).
    """
    positive, score = _positives(sample)
    _, ranks = np.unique(score, return_inverse=True)
    levels = int(ranks.max()) + 1
    positive_ranks, positive_codes = ranks[positive], codes[positive]
    wins = np.zeros((groups, groups))
    for group in np.unique(codes[~positive]):
        at = np.bincount(ranks[~positive & (codes == group)], minlength=levels)
        below = np.cumsum(at) - 0.5 * at
        wins[:, group] = np.bincount(positive_codes, weights=below[positive_ranks], minlength=groups)
    totals = _per_group([positive.astype(np.float64), (~positive).astype(np.float64)], codes, groups)

    def values(draws: Floats) -> Floats:
        number = draws @ totals
        with np.errstate(invalid="ignore", divide="ignore"):
            area: Floats = np.einsum("rg,rg->r", draws @ wins, draws) / (number[:, 0] * number[:, 1])
        return area

    return values


def _precision_by_groups(sample: LabelledAnswers, codes: Ints, groups: int) -> Statistic:
    """Average precision from how many rows of each group lie at or above each positive's score."""
    positive, score = _positives(sample)
    levels, ranks = np.unique(-score, return_inverse=True)
    hit = np.unique(ranks[positive])
    above = np.zeros((2, groups, len(hit)))
    for group in range(groups):
        for row, side in enumerate((positive, ~positive)):
            at = np.bincount(ranks[side & (codes == group)], minlength=len(levels))
            above[row, group] = np.cumsum(at)[hit]

    def part(draws: Floats) -> Floats:
        true_positives, false_positives = draws @ above[0], draws @ above[1]
        hits = np.diff(true_positives, axis=1, prepend=0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            average: Floats = (
                np.where(hits > 0, hits * true_positives / (true_positives + false_positives), 0.0).sum(axis=1)
                / true_positives[:, -1]
            )
        return average

    return _in_parts(part, len(hit), _PRODUCT_CELLS) if len(hit) else _undefined


def _undefined(draws: Floats) -> Floats:
    return np.full(len(draws), np.nan)


def _in_parts(part: Statistic, width: int, cells: int) -> Statistic:
    """Compute a few draws at a time, so that no array has more than about `cells` elements.

    Args:
        width: elements that one draw needs.
    """
    step = max(1, cells // width)

    def values(draws: Floats) -> Floats:
        return np.concatenate([part(draws[start : start + step]) for start in range(0, len(draws), step)])

    return values


def _auc_by_rows(sample: LabelledAnswers, codes: Ints) -> Statistic:
    """The area under the ROC curve: how often each positive ranks above the negatives that were drawn, as by pairs."""
    positive, score = _positives(sample)
    order = np.argsort(score[~positive])
    negative_codes, positive_codes = codes[~positive][order], codes[positive]
    scores = score[~positive][order]
    below, up_to = (np.searchsorted(scores, score[positive], side) for side in ("left", "right"))
    if not len(negative_codes) or not len(positive_codes):
        return _undefined

    def part(draws: Floats) -> Floats:
        misses = np.zeros((len(draws), len(negative_codes) + 1))
        np.cumsum(np.take(draws, negative_codes, axis=1), axis=1, out=misses[:, 1:])
        hits = np.take(draws, positive_codes, axis=1)
        ahead = np.take(misses, below, axis=1) + np.take(misses, up_to, axis=1)
        wins = np.einsum("rp,rp->r", hits, ahead) / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            area: Floats = wins / (hits.sum(axis=1) * misses[:, -1])
        return area

    return _in_parts(part, len(codes), _CELLS)


def _precision_by_rows(sample: LabelledAnswers, codes: Ints) -> Statistic:
    """Average precision over rows that are sorted once by falling score; rows of equal score are added up."""
    positive, score = _positives(sample)
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) != 0])
    ordered_codes, ordered_positive = codes[order], positive[order].astype(np.float64)

    def part(draws: Floats) -> Floats:
        weight = draws[:, ordered_codes]
        hits = np.add.reduceat(weight * ordered_positive, starts, axis=1)
        misses = np.add.reduceat(weight * (1 - ordered_positive), starts, axis=1)
        total = hits.sum(axis=1)
        true_positives, false_positives = np.cumsum(hits, axis=1), np.cumsum(misses, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = np.where(hits > 0, true_positives / (true_positives + false_positives), 0.0)
            average: Floats = (hits * precision).sum(axis=1) / total
        return average

    return _in_parts(part, len(codes), _CELLS)


def _confusion(name: str, sample: LabelledAnswers, codes: Ints, groups: int) -> Statistic:
    """Metrics of the confusion matrix. For each class: rows that are it, that were predicted as it, and both."""
    masks = [np.arange(sample.classes)[:, None] == side[None, :] for side in (sample.truth, sample.predicted)]
    columns = [*masks[0], *masks[1], *(masks[0] & masks[1])]
    totals = _per_group([column.astype(np.float64) for column in columns], codes, groups)

    def values(draws: Floats) -> Floats:
        actual, called, both = np.split(draws @ totals, 3, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            if name == "accuracy":
                result: Floats = both.sum(axis=1) / actual.sum(axis=1)
            elif name == "balanced_accuracy":
                result = np.where(actual > 0, both / actual, 0.0).sum(axis=1) / (actual > 0).sum(axis=1)
            else:
                present = actual + called > 0
                scores = np.where(present, 2 * both / (actual + called), 0.0)
                binary = sample.classes == 2 and sample.positive is not None
                result = scores[:, sample.positive or 0] if binary else scores.sum(axis=1) / present.sum(axis=1)
        return result

    return values


def _sums(name: str, sample: LabelledAnswers, codes: Ints, groups: int) -> Statistic:
    """Metrics that are means over rows, or ratios of means."""
    loss = _loss(name, sample)
    # Shifting the values does not change their variance, and keeps its two large terms from cancelling.
    truth = sample.truth - sample.truth.mean()
    totals = _per_group([np.ones_like(truth), loss, truth, truth**2], codes, groups)

    def values(draws: Floats) -> Floats:
        number, losses, first, second = (draws @ totals).T
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: Floats = losses / number
            if name == "rmse":
                mean = np.sqrt(mean)
            elif name == "r2":
                mean = 1 - losses / (second - first**2 / number)
        return mean

    return values


def _loss(name: str, sample: LabelledAnswers) -> Floats:
    if name in ("mae", "rmse", "r2"):
        error = sample.predicted - sample.truth
        absolute: Floats = np.abs(error) if name == "mae" else error**2
        return absolute
    assert sample.probability is not None  # see check_metric
    rows = np.arange(len(sample.truth))
    own = sample.probability[rows, sample.truth.astype(np.int64)]
    if name == "log_loss":
        tiny = float(np.finfo(np.float64).eps)
        logs: Floats = -np.log(np.clip(own, tiny, 1 - tiny))
        return logs
    if sample.classes == 2:
        binary: Floats = (1 - own) ** 2
        return binary
    several: Floats = (sample.probability**2).sum(axis=1) - own**2 + (1 - own) ** 2
    return several
