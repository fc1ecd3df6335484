"""Intervals against bounds: a metric of the hold-out, the agreement of two models, a value that Prometheus gave."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from gitops_ml.page.pictures.calibration import CURVE_HEIGHT, calibration_of, curve_shapes, curve_words
from gitops_ml.page.pictures.shapes import (
    LEFT,
    RIGHT,
    Axis,
    Picture,
    Shape,
    Tone,
    heading,
    numbers,
    percent,
    plain,
    signed,
    text_at,
)

_ROW, _MORE = 64.0, 12.0
"""The height of a row, and of a second line of labels below it."""


def holdout_picture(metric: str, figures: Mapping[str, object], tone: Tone) -> Picture | None:
    """A metric's interval against its bounds, and the interval of its gain against what it may lose.

    None if the record has no interval, as for a metric that was not defined on the rows.
    """
    known = numbers(figures)
    if not {"candidate", "candidate_low", "candidate_high"} <= known.keys():
        return None
    shapes: list[Shape] = []
    said: list[str] = []
    height = 0.0
    if {"gain", "gain_low", "gain_high"} <= known.keys():
        shapes += _gain_row(known, tone)
        said.append(f"gain over the incumbent {_with_interval(known, 'gain', signed)}")
        height += _ROW
    shapes += _value_row(metric, known, height, tone)
    said.append(f"{metric} {_with_interval(known, 'candidate', plain)}")
    if "incumbent" in known:
        said.append(f"incumbent {plain(known['incumbent'])}")
    said += [f"{bound} {plain(known[bound])}" for bound in ("min", "max", "max_drop") if bound in known]
    height += _ROW + (_MORE if "max" in known else 0.0)
    curve = calibration_of(figures)
    if curve:
        shapes += curve_shapes(curve, known.get("rows", 0.0), height)
        said.append(curve_words(curve))
        height += CURVE_HEIGHT
    legend = [(f"bar {tone}", "95 % interval"), ("dot", "estimate")]
    legend += [("hollow", "incumbent")] if "incumbent" in known else []
    legend += [("bound", "bound")] if {"min", "max", "max_drop"} & known.keys() else []
    legend += [("dot plain", f"1 of {len(curve)} parts of the rows")] if curve else []
    return Picture(f"{metric} on held-out rows", "; ".join(said), height, tuple(shapes), tuple(legend))


def _gain_row(known: Mapping[str, float], tone: Tone) -> list[Shape]:
    low, high, allowed = known["gain_low"], known["gain_high"], known.get("max_drop")
    axis = Axis([low, high, known["gain"], 0.0, *([-allowed] if allowed is not None else [])])
    shapes = list(heading(14, "gain", _with_interval(known, "gain", signed)))
    if allowed is not None:
        edge = axis.at(-allowed)
        shapes.append(Shape("rect", "zone", LEFT, 22, max(0.0, edge - LEFT), 24))
        shapes += [Shape("line", "bound", edge, 20, edge, 48), text_at(edge, 59, f"{signed(-allowed)} allowed")]
    zero = axis.at(0.0)
    shapes += [Shape("line", "track", LEFT, 34, RIGHT, 34), Shape("line", "zero", zero, 22, zero, 46)]
    if allowed is None or abs(zero - axis.at(-allowed)) > 100:
        shapes.append(text_at(zero, 59, "0, as the incumbent"))
    return [*shapes, *_interval(axis, low, known["gain"], high, 34, tone)]


def _value_row(metric: str, known: Mapping[str, float], top: float, tone: Tone) -> list[Shape]:
    low, high = known["candidate_low"], known["candidate_high"]
    bounds = [(name, known[name]) for name in ("min", "max") if name in known]
    others = [known["incumbent"]] if "incumbent" in known else []
    axis = Axis([low, high, known["candidate"], *others, *(value for _, value in bounds)])
    shapes = list(heading(top + 14, metric, _with_interval(known, "candidate", plain)))
    shapes += _bounds(axis, bounds, top)
    shapes.append(Shape("line", "track", LEFT, top + 34, RIGHT, top + 34))
    shapes += _interval(axis, low, known["candidate"], high, top + 34, tone)
    shapes += [Shape("dot", "hollow", axis.at(value), top + 34, 5.5) for value in others]
    return shapes


def _bounds(axis: Axis, bounds: Sequence[tuple[str, float]], top: float) -> list[Shape]:
    """Bounds as dashed lines, with the forbidden side behind them."""
    shapes: list[Shape] = []
    for name, value in bounds:
        edge = axis.at(value)
        left, right = (LEFT, edge) if name == "min" else (edge, RIGHT)
        shapes.append(Shape("rect", "zone", left, top + 22, max(0.0, right - left), 24))
        shapes.append(Shape("line", "bound", edge, top + 20, edge, top + 48))
        shapes.append(text_at(edge, top + (59 if name == "min" else 71), f"{name} {plain(value)}"))
    return shapes


def agreement_picture(figures: Mapping[str, object], tone: Tone) -> Picture | None:
    """The share of answers that differ between candidate and incumbent, with its interval."""
    known = numbers(figures)
    if not {"share", "share_low", "share_high"} <= known.keys():
        return None
    axis = Axis([0.0, known["share_high"], known["share"], 0.02], start=0.0)
    value = _with_interval(known, "share", percent)
    shapes = [*heading(14, "answers that differ", value), Shape("line", "track", LEFT, 34, RIGHT, 34)]
    shapes += _interval(axis, known["share_low"], known["share"], known["share_high"], 34, tone)
    shapes += [Shape("text", "label", LEFT, 59, text="0 %")]
    shapes += [Shape("text", "label", RIGHT, 59, text=percent(axis.high), anchor="end")]
    legend = ((f"bar {tone}", "95 % interval"), ("dot", "estimate"))
    return Picture("Agreement with the incumbent", f"share of answers that differ {value}", 66, tuple(shapes), legend)


def range_picture(name: str, figures: Mapping[str, object], tone: Tone) -> Picture | None:
    """The lowest and the highest value of a Prometheus query, against its bounds."""
    known = numbers(figures)
    bounds = [(bound, known[bound]) for bound in ("min", "max") if bound in known]
    if not {"lowest", "highest"} <= known.keys() or not bounds:
        return None
    low, high = known["lowest"], known["highest"]
    axis = Axis([low, high, *(value for _, value in bounds)])
    value = plain(low) if low == high else f"{plain(low)} to {plain(high)}"
    shapes = [*heading(14, "value", value), *_bounds(axis, bounds, 0)]
    shapes.append(Shape("line", "track", LEFT, 34, RIGHT, 34))
    shapes.append(Shape("rect", f"bar {tone}", axis.at(low), 30, max(2.0, axis.at(high) - axis.at(low)), 8))
    shapes += [Shape("dot", f"dot {tone}", axis.at(end), 34, 4.5) for end in dict.fromkeys((low, high))]
    said = "; ".join([f"value {value}", *(f"{bound} {plain(edge)}" for bound, edge in bounds)])
    return Picture(name, said, _ROW + _MORE, tuple(shapes), ((f"bar {tone}", "lowest to highest"), ("bound", "bound")))


def _interval(axis: Axis, low: float, point: float, high: float, y: float, tone: Tone) -> list[Shape]:
    start, end = axis.at(low), axis.at(high)
    return [
        Shape("rect", f"bar {tone}", start, y - 4, max(2.0, end - start), 8),
        Shape("dot", f"dot {tone}", axis.at(point), y, 5),
    ]


def _with_interval(known: Mapping[str, float], name: str, show: Callable[[float], str]) -> str:
    return f"{show(known[name])} ({show(known[f'{name}_low'])} to {show(known[f'{name}_high'])})"
