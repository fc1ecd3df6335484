"""Slices: for which rows do the answers of two models differ, by each value of a column or each fifth of its range?

A share over all rows hides that a new model answers differently for one carrier only, and a list of all slices buries
it. So slices are ranked by the lower end of an interval of their change (for shares Wilson's, 1927): a slice of few
rows does not come first by luck. Slices overlap and many are examined, so the ranking only says where to look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gitops_ml.core.verification.statistics.wilson import Z, wilson_interval

BINS = 5
"""A numeric column is cut into so many parts of equal numbers of rows."""
MIN_ROWS = 30
"""Slices of fewer rows are left out."""
MISSING = "missing"


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The rows with one value, or range, of a column, and how much the answers to them change.

    `change` is the share of answers that flip (classification) or their mean absolute difference, and `low` the lower
    end of its 95 % interval. `shift` is the mean of new minus old (probability of the positive class, or value).
    """

    column: str
    value: str
    rows: int
    change: float
    low: float
    shift: float | None


def most_changed(
    columns: Mapping[str, NDArray[Any]], change: NDArray[np.float64], shift: NDArray[np.float64] | None, shares: bool
) -> list[Slice]:
    """All slices of at least MIN_ROWS rows, those that change most first.

    Args:
        columns: arrays of shape (rows,), by name. Objects are categories (None: missing); floats are cut into fifths.
        change: shape (rows,), how much each answer changes.
        shift: shape (rows,), new minus old.
        shares: `change` holds 0 and 1 only, so its means are shares.
    """
    slices = []
    for name, values in columns.items():
        for label, mask in _parts(values):
            count = int(mask.sum())
            if count < MIN_ROWS:
                continue
            changed = change[mask]
            mean = float(changed.mean())
            low = mean - Z * float(changed.std()) / math.sqrt(count)
            if shares:
                low, _ = wilson_interval(float(changed.sum()), count)
            moved = None if shift is None else float(np.mean(shift[mask]))
            slices.append(Slice(column=name, value=label, rows=count, change=mean, low=low, shift=moved))
    return sorted(slices, key=lambda part: (-part.low, part.column, part.value))


def _parts(values: NDArray[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The slices of one column: each category or each fifth of its numbers, with a mask of shape (rows,)."""
    if values.dtype == object:
        names = np.array([MISSING if value is None else str(value) for value in values])
        return [(str(name), names == name) for name in np.unique(names)]
    missing = ~np.isfinite(values)
    present = values[~missing]
    if len(np.unique(present)) <= BINS:
        parts = [(f"{value:g}", values == value) for value in np.unique(present)]
    else:
        edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)))
        parts = []
        for number, (start, end) in enumerate(pairwise(edges)):
            last = number == len(edges) - 2
            mask = (values >= start) & ((values <= end) if last else (values < end))
            parts.append((f"{start:g} to {end:g}", mask))
    return [*parts, (MISSING, missing)]
