"""Several values beside each other: drift by feature, seconds among those of other attempts, a figure over attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitops_ml.page.pictures.shapes import (
    LEFT,
    RIGHT,
    Axis,
    Picture,
    Shape,
    Tone,
    heading,
    numbers,
    plain,
    text_at,
)

_PSI = "psi "
_TREND_HEIGHT, _TOP, _BOTTOM = 118.0, 24.0, 96.0


class Point(NamedTuple):
    """The value of one attempt, with its interval where the record has one."""

    label: str
    value: float
    low: float
    high: float
    tone: Tone


def drift_picture(figures: Mapping[str, object]) -> Picture | None:
    """The population stability index of the features that moved most, against the value that warns."""
    known = numbers(figures)
    indices = [(name.removeprefix(_PSI), value) for name, value in known.items() if name.startswith(_PSI)]
    if not indices:
        return None
    warn = known.get("warn")
    axis = Axis([0.0, *(value for _, value in indices), *([warn] if warn is not None else [])], start=0.0)
    shapes: list[Shape] = []
    for number, (feature, value) in enumerate(indices):
        y = 34.0 * number
        tone = "warn" if warn is not None and value >= warn else "plain"
        shapes += heading(y + 14, _cut(feature), plain(value))
        shapes.append(Shape("line", "track", LEFT, y + 25, RIGHT, y + 25))
        shapes.append(Shape("rect", f"bar {tone}", LEFT, y + 21, max(1.0, axis.at(value) - LEFT), 8))
    height = 34.0 * len(indices)
    if warn is not None:
        edge = axis.at(warn)
        shapes += [
            Shape("line", "bound", edge, 18, edge, height),
            text_at(edge, height + 13, f"warns at {plain(warn)}"),
        ]
        height += 18
    said = ", ".join(f"{name} {plain(value)}" for name, value in indices)
    legend = (("bar plain", "population stability index"), ("bound", "warns")) if warn is not None else ()
    return Picture("Drift by feature", said, height, tuple(shapes), legend)


def seconds_picture(title: str, seconds: float, others: Sequence[float], tone: Tone) -> Picture:
    """A time in seconds, among the times of the other attempts."""
    axis = Axis([0.0, seconds, *others], start=0.0)
    shapes = [*heading(14, title, f"{plain(seconds)} s"), Shape("line", "track", LEFT, 32, RIGHT, 32)]
    shapes += [Shape("dot", "faint", axis.at(value), 32, 4.5) for value in others]
    shapes.append(Shape("dot", f"dot {tone}", axis.at(seconds), 32, 6))
    shapes += [Shape("text", "label", LEFT, 54, text="0 s")]
    shapes += [Shape("text", "label", RIGHT, 54, text=f"{plain(axis.high)} s", anchor="end")]
    said = f"{plain(seconds)} seconds"
    if others:
        said += f"; {len(others)} other attempts took {plain(min(others))} to {plain(max(others))} seconds"
    legend = ((f"dot {tone}", "this attempt"), *([("faint", "other attempts")] if others else []))
    return Picture(title, said, 60, tuple(shapes), tuple(legend))


def trend_picture(title: str, points: Sequence[Point], bounds: Mapping[str, float]) -> Picture | None:
    """A figure over attempts, oldest first, with intervals and bounds. None for fewer than two attempts."""
    if len(points) < 2:
        return None
    ends = [end for point in points for end in (point.low, point.high)]
    low, high = min([*ends, *bounds.values()]), max([*ends, *bounds.values()])
    span = high - low or abs(high) or 1.0
    low, high = low - 0.06 * span, high + 0.06 * span

    def y(value: float) -> float:
        return round(_BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP), 2)

    newest = points[-1]
    shapes = list(
        heading(14, ", ".join([title, *(f"{name} {plain(v)}" for name, v in bounds.items())]), plain(newest.value))
    )
    shapes += [Shape("line", "bound", LEFT, y(value), RIGHT, y(value)) for value in bounds.values()]
    step = (RIGHT - LEFT - 12) / (len(points) - 1)
    places = [round(LEFT + 6 + step * number, 2) for number in range(len(points))]
    path = "M" + "L".join(f"{x} {y(point.value)}" for x, point in zip(places, points, strict=True))
    shapes.append(Shape("path", "trend", text=path))
    for x, point in zip(places, points, strict=True):
        if point.high > point.low:
            shapes.append(Shape("line", "whisker", x, y(point.low), x, y(point.high)))
        shapes.append(Shape("dot", f"dot {point.tone}", x, y(point.value), 4))
    shapes.append(Shape("text", "label", LEFT, _TREND_HEIGHT - 4, text=points[0].label))
    shapes.append(Shape("text", "label", RIGHT, _TREND_HEIGHT - 4, text=newest.label, anchor="end"))
    said = ", ".join(f"{point.label} {plain(point.value)}" for point in points)
    return Picture(f"{title} by attempt", said, _TREND_HEIGHT, tuple(shapes))


def _cut(text: str) -> str:
    return text if len(text) <= 34 else f"{text[:33]}…"
