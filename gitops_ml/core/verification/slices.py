"""Where two models differ: for which rows do their answers change, by each value of a column or fifth of its range?

A share over all rows hides that a new model answers otherwise for one carrier only; a list of all slices buries it. So
slices are ranked by how much their rows change for certain, the lower end of an interval (for shares Wilson's, 1927),
and slices of a few rows do not come first by luck. Slices overlap, and many are looked at: it says where to look.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gitops_ml.core.verification.wilson import Z, wilson_interval

BINS = 5
MIN_ROWS = 30
MISSING = "missing"


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one value (or range) of a column, and how much the answers to them change.

    `change` is the share of answers that flip (classification) or their mean absolute difference; `low` the lower end
    of its 95 % interval; `shift` the mean of new minus old (probability of the positive class, or value).
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
    """Every slice of at least 30 rows, the one that changes most first.

    Args:
        columns: by name, shape (rows,): objects are categories (None: missing), floats are cut at their fifths.
        change: shape (rows,), how much each answer changes; 0 or 1 with `shares`.
        shift: shape (rows,), new minus old.
    """
    found = []
    for name, values in columns.items():
        for label, mask in _parts(values):
            count = int(mask.sum())
            if count < MIN_ROWS:
                continue
            part = change[mask]
            mean = float(part.mean())
            low = mean - Z * float(part.std()) / math.sqrt(count)
            if shares:
                low, _ = wilson_interval(float(part.sum()), count)
            moved = None if shift is None else float(np.mean(shift[mask]))
            found.append(Slice(column=name, value=label, rows=count, change=mean, low=low, shift=moved))
    return sorted(found, key=lambda one: (-one.low, one.column, one.value))


def _parts(values: NDArray[Any]) -> list[tuple[str, NDArray[np.bool_]]]:
    """The slices of one column: each value of a category, each fifth of a number."""
    if values.dtype == object:
        names = np.array([MISSING if value is None else str(value) for value in values])
        return [(str(name), names == name) for name in np.unique(names)]
    missing = ~np.isfinite(values)
    known = values[~missing]
    if len(np.unique(known)) <= BINS:
        parts = [(f"{value:g}", values == value) for value in np.unique(known)]
    else:
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)))
        parts = []
        for number, (start, end) in enumerate(pairwise(edges)):
            last = number == len(edges) - 2
            mask = (values >= start) & ((values <= end) if last else (values < end))
            parts.append((f"{start:g} to {end:g}", mask))
    return [*parts, (MISSING, missing)]
