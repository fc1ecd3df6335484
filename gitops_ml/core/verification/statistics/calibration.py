"""Calibration: how often what a model gave a probability to came true (a reliability diagram).

Murphy & Winkler 1977, Applied Statistics 26:41-47. Bins of equally many rows, so that each point says equally much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 10
_DIGITS = 4


def calibration(
    positive: NDArray[np.bool_], probability: NDArray[np.float64], bins: int = BINS
) -> tuple[list[float], list[float]]:
    """Mean predicted probability and observed share of positives in each bin, by rising probability, in four digits.

    Args:
        positive: shape (n,), whether each row is of the positive class.
        probability: shape (n,), the probability that the model gave to it.
        bins: how many bins; fewer where there are fewer rows.
    """
    order = np.argsort(probability, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    predicted = [round(float(probability[part].mean()), _DIGITS) for part in parts]
    return predicted, [round(float(positive[part].mean()), _DIGITS) for part in parts]
