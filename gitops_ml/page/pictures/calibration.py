"""Calibration as a curve: the share that came true over the probability that the model gave, against the diagonal."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gitops_ml.core.verification.statistics.wilson import wilson_interval
from gitops_ml.page.pictures.shapes import LEFT, RIGHT, Shape, is_drawable, plain

CURVE_HEIGHT = 214.0
_TOP, _BOTTOM = 30.0, 190.0
_START = 40.0
"""Where the horizontal axis begins: left of it stand the values of the vertical one."""

Curve = list[tuple[float, float]]
"""For each bin of equally many rows the mean probability, and the share that came true."""


def calibration_of(figures: Mapping[str, object]) -> Curve:
    """The curve in the figures of a check; empty where there is none, or no whole one."""
    predicted, observed = (figures.get(f"calibration_{kind}") for kind in ("predicted", "observed"))
    if not (isinstance(predicted, list) and isinstance(observed, list) and len(predicted) == len(observed) >= 2):
        return []
    drawable = all(is_drawable(value) and 0 <= value <= 1 for value in (*predicted, *observed))
    return list(zip(predicted, observed, strict=True)) if drawable else []


def curve_shapes(curve: Curve, rows: float, top: float) -> list[Shape]:
    """The points of a curve, and the line of probabilities that always come true as often as they say.

    Args:
        rows: the rows of all bins, for the 95 % interval of each share (Wilson); 0 draws none.
        top: where the picture has room for it.
    """
    highest = min(1.0, max(1, math.ceil(10 * max(max(point) for point in curve))) / 10)

    def x(value: float) -> float:
        return round(_START + value / highest * (RIGHT - _START), 2)

    def y(value: float) -> float:
        return round(top + _BOTTOM - min(value, highest) / highest * (_BOTTOM - _TOP), 2)

    shapes = [Shape("text", "label", LEFT, top + 14, text="calibration: share that came true, by probability")]
    shapes += [Shape("line", "track", x(0), y(end), x(highest), y(end)) for end in (0.0, highest)]
    shapes.append(Shape("line", "diagonal", x(0), y(0), x(highest), y(highest)))
    shapes.append(Shape("path", "trend", text="M" + "L".join(f"{x(p)} {y(o)}" for p, o in curve)))
    for predicted, observed in curve:
        if rows >= len(curve):
            low, high = wilson_interval(observed * rows / len(curve), rows / len(curve))
            shapes.append(Shape("line", "whisker", x(predicted), y(low), x(predicted), y(high)))
        shapes.append(Shape("dot", "dot plain", x(predicted), y(observed), 4))
    shapes += [Shape("text", "label", LEFT, y(end) + 4, text=plain(end)) for end in (0.0, highest)]
    shapes.append(Shape("text", "label", x(0), top + _BOTTOM + 16, text="0"))
    shapes.append(Shape("text", "label", RIGHT, top + _BOTTOM + 16, text=plain(highest), anchor="end"))
    return shapes


def curve_words(curve: Curve) -> str:
    """The curve for people who hear the page."""
    pairs = ", ".join(f"{plain(observed)} at {plain(predicted)}" for predicted, observed in curve)
    return f"calibration, share that came true at predicted: {pairs}"
