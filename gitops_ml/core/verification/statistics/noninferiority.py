"""The intervals of the holdout check: a paired bootstrap over groups of rows.

Method. Whole groups, such as days, are drawn with replacement, as many as there are. Both models are scored on the same
draw, so that what they have in common cancels. This is the cluster bootstrap (Field & Welsh 2007, JRSS B 69:369-390;
'sampling whole clusters' in Ren et al. 2010, J. Appl. Stat. 37:1487-1498), paired as in Efron & Tibshirani 1993 (An
Introduction to the Bootstrap, ch. 8 and 13). The interval is the percentile interval, widened for few groups (the
'expanded percentile interval' of Hesterberg 2015, The American Statistician 69:371-386): the plain one is too short by
sqrt((G-1)/G), and uses a normal quantile where a t quantile is due.

Assumes that groups are independent draws from what the model will meet, and that the metric is smooth in the groups'
shares. Rows within a group may depend on each other in any way. A change after the last row goes unseen.
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from gitops_ml.core.verification.statistics.metrics import Statistic

REPLICATES = 2000
_CELLS = 4_000_000
"""Elements of one array of draws, so that memory stays bounded."""


@dataclass(frozen=True)
class Interval:
    """A point estimate and its interval. `undefined` counts the replicates in which the metric was undefined."""

    point: float
    low: float
    high: float
    undefined: int = 0


def paired_intervals(
    statistics: Sequence[Statistic],
    groups: int,
    *,
    tails: tuple[float, float],
    seed: int,
    replicates: int = REPLICATES,
) -> list[Interval]:
    """One interval for each statistic; with two statistics, a third for the first minus the second.

    Args:
        tails: the error allowed below and above, 0.025 each for a 95 % interval.
        seed: the same seed gives the same intervals.
    """
    each_once = np.ones((1, groups))
    points = [float(statistic(each_once)[0]) for statistic in statistics]
    drawn = np.empty((len(statistics), replicates))
    generator = np.random.default_rng(seed)
    step = max(1, min(replicates, _CELLS // groups))
    for start in range(0, replicates, step):
        draws = _draws(generator, min(step, replicates - start), groups)
        for row, statistic in enumerate(statistics):
            drawn[row, start : start + len(draws)] = statistic(draws)
    intervals = [_interval(point, values, groups, tails) for point, values in zip(points, drawn, strict=True)]
    if len(statistics) == 2:
        intervals.append(_interval(points[0] - points[1], drawn[0] - drawn[1], groups, tails))
    return intervals


def _draws(generator: np.random.Generator, replicates: int, groups: int) -> NDArray[np.float64]:
    counts = np.empty((replicates, groups))
    # One replicate at a time: it fits the processor's cache.
    for row, chosen in enumerate(generator.integers(0, groups, size=(replicates, groups))):
        counts[row] = np.bincount(chosen, minlength=groups)
    return counts


def _interval(point: float, values: NDArray[np.float64], groups: int, tails: tuple[float, float]) -> Interval:
    defined = values[np.isfinite(values)]
    undefined = len(values) - len(defined)
    if not len(defined) or not math.isfinite(point):
        return Interval(point, math.nan, math.nan, undefined)
    below, above = (expanded_tail(tail, groups) for tail in tails)
    low, high = np.quantile(defined, [below, 1 - above])
    return Interval(point, float(low), float(high), undefined)


def expanded_tail(tail: float, groups: int) -> float:
    """The quantile to use instead of `tail`, which widens the interval of few groups (Hesterberg 2015, eq. 5).

    Args:
        groups: at least 2.
    """
    return NormalDist().cdf(-math.sqrt(groups / (groups - 1)) * t_quantile(1 - tail, groups - 1))


@functools.cache
def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t, by bisection on the integral of its density. Takes milliseconds, so it is cached.

    Args:
        probability: at least 0.5.
        freedom: degrees of freedom. Above 2000 the normal quantile is used.
    """
    if freedom > 2000:
        return NormalDist().inv_cdf(probability)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    power = freedom - 1

    def above_centre(x: float) -> float:
        # Substituting x = sqrt(freedom) * tan(a) leaves cos(a) ** (freedom - 1) to integrate, over a finite range.
        end, steps = math.atan(x / math.sqrt(freedom)), 400
        width = end / steps
        inner = sum((4 if i % 2 else 2) * math.cos(i * width) ** power for i in range(1, steps))
        return scale * math.sqrt(freedom) * width / 3 * (1 + inner + math.cos(end) ** power)

    low, high = 0.0, 1e4
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if above_centre(middle) < probability - 0.5 else (low, middle)
    return (low + high) / 2


def seed_of(*parts: bytes) -> int:
    """A seed that depends on the inputs alone, so that a verdict can be reproduced."""
    return int.from_bytes(hashlib.sha256(b"\0".join(parts)).digest()[:8], "big")
