"""The interval of a share, such as the share of answers that differ between two models."""

from __future__ import annotations

import math

Z = 1.959964
"""The normal quantile of a two-sided 95 % interval."""


def wilson_interval(hits: float, count: float) -> tuple[float, float]:
    """The 95 % score interval of `hits` of `count`, which is at least 1 (Wilson 1927, JASA 22:209-212)."""
    share, spread = hits / count, Z * Z / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)
