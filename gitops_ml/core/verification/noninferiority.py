"""Is the candidate worse than the incumbent by more than is borne, on the same labelled rows? A paired
bootstrap.

Method. Whole groups (days, say) are drawn with replacement, as many as there are, and both models are scored
on the same draw, so that what is common to both cancels: the cluster bootstrap of Field & Welsh 2007 (JRSS B
69:369-390), 'sampling whole clusters' in Ren et al. 2010 (J. Appl. Stat. 37:1487-1498), paired as in Efron &
Tibshirani 1993 (An Introduction to the Bootstrap, ch. 8 and 13). The interval is the percentile interval,
widened for few groups as in Hesterberg 2015 (The American Statistician 69:371-386, 'expanded percentile
interval'): the plain one is too short by sqrt((G-1)/G) and uses a normal where a t quantile is due.

Assumes that groups are drawn independently from what the model will meet, that rows within a group may depend
in any way, and that the metric is smooth in the groups' shares. It knows nothing of a world that changes
after the last row.
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

from gitops_ml.core.verification.metrics import Statistic

REPLICATES = 2000
_CELLS = 4_000_000


@dataclass(frozen=True)
class Interval:
    """A point estimate and its interval; `undefined` counts replicates in which the metric did not exist."""

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
    """Intervals for each statistic, and last for the first minus the second where there are two.

    `tails` is the error allowed below and above (0.025 each for a 95 % interval). The same seed gives the
    same intervals.
    """
    once = np.ones((1, groups))
    points = [float(statistic(once)[0]) for statistic in statistics]
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
    chosen = generator.integers(0, groups, size=(replicates, groups))
    flat = (chosen + groups * np.arange(replicates)[:, None]).ravel()
    return np.bincount(flat, minlength=replicates * groups).reshape(replicates, groups).astype(np.float64)


def _interval(point: float, values: NDArray[np.float64], groups: int, tails: tuple[float, float]) -> Interval:
    defined = values[np.isfinite(values)]
    undefined = len(values) - len(defined)
    if not len(defined) or not math.isfinite(point):
        return Interval(point, math.nan, math.nan, undefined)
    below, above = (expanded_tail(tail, groups) for tail in tails)
    low, high = np.quantile(defined, [below, 1 - above])
    return Interval(point, float(low), float(high), undefined)


def expanded_tail(tail: float, groups: int) -> float:
    """The quantile to read instead of `tail`, so that few groups get a wider interval (Hesterberg 2015, eq.
    5).

    `groups` ≥ 2.
    """
    return NormalDist().cdf(-math.sqrt(groups / (groups - 1)) * t_quantile(1 - tail, groups - 1))


@functools.cache
def t_quantile(probability: float, freedom: int) -> float:
    """The quantile of Student's t, for `probability` ≥ 0.5, by bisection on the density's integral."""
    if freedom > 2000:
        return NormalDist().inv_cdf(probability)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    power = freedom - 1

    def above_centre(x: float) -> float:
        # With x = sqrt(freedom) * tan(a) the density's integral is that of cos(a) ** (freedom - 1): no tail
        # is cut.
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
    """A seed that is the same for the same inputs, so that a verdict can be computed again."""
    return int.from_bytes(hashlib.sha256(b"\0".join(parts)).digest()[:8], "big")
