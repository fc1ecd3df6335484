"""What a picture consists of, and the axis that places numbers on it.

Why no chart library: a check has at most a dozen marks. As shapes with class names they take their colours from the
page's style sheet, so one picture serves a dark and a light screen, and its text is text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

WIDTH = 400.0
"""Units of a picture's width. A telephone shows 0.8 pixels for each, a desk 1.2."""
LEFT, RIGHT = 8.0, WIDTH - 8

Tone = Literal["good", "warn", "bad", "plain"]


class Shape(NamedTuple):
    """One mark. `kind` says what the numbers mean.

    rect: x, y, width, height. line: x1, y1, x2, y2. dot: x, y, radius. text: x, y. path: `text` holds its commands.
    """

    kind: Literal["rect", "line", "dot", "text", "path"]
    style: str
    a: float = 0.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    text: str = ""
    anchor: Literal["start", "middle", "end"] = "start"


class Picture(NamedTuple):
    """A picture and what it says in words. `legend` explains its styles, each by a class name and a text."""

    title: str
    description: str
    height: float
    shapes: tuple[Shape, ...]
    legend: tuple[tuple[str, str], ...] = ()
    width: float = WIDTH


class Axis:
    """Places numbers between two edges of a picture, with a margin on both sides.

    Args:
        values: numbers that must be on it; at least one.
        start: where the axis begins, if not a margin before the least value.
    """

    def __init__(self, values: Iterable[float], start: float | None = None) -> None:
        held = list(values)
        low, high = min(held), max(held)
        span = high - low or abs(high) or 1.0
        self.low = low - 0.08 * span if start is None else start
        self.high = high + 0.08 * span

    def at(self, value: float) -> float:
        """The place of a number, kept between the edges."""
        share = (value - self.low) / (self.high - self.low)
        return round(LEFT + min(1.0, max(0.0, share)) * (RIGHT - LEFT), 2)


def numbers(figures: Mapping[str, object]) -> dict[str, float]:
    """The figures that can be drawn. A record can be edited, so a figure may be of any kind and size."""
    return {name: float(value) for name, value in figures.items() if is_drawable(value)}  # type: ignore[arg-type]


def is_drawable(value: object) -> bool:
    """Whether a figure is a number of a size that can be drawn."""
    return type(value) in (int, float) and -1e15 < value < 1e15  # type: ignore[operator]


def text_at(x: float, y: float, text: str) -> Shape:
    """A text at a mark, on the side that has room for it."""
    anchor: Literal["start", "middle", "end"] = "start" if x < WIDTH * 0.3 else "end" if x > WIDTH * 0.7 else "middle"
    return Shape("text", "label", x, y, text=text, anchor=anchor)


def heading(y: float, title: str, value: str) -> tuple[Shape, Shape]:
    """The line above a row of a picture: what it is, and its value."""
    return (
        Shape("text", "label", LEFT, y, text=title),
        Shape("text", "value", RIGHT, y, text=value, anchor="end"),
    )


def signed(value: float) -> str:
    """A difference with its sign."""
    return f"{value:+.4g}".replace("-", "\u2212")


def plain(value: float) -> str:
    """A number in four digits."""
    return f"{value:.4g}".replace("-", "\u2212")


def percent(value: float) -> str:
    """A share in per cent."""
    return f"{100 * value:.3g} %"


def count(value: float) -> str:
    """A number of things."""
    return f"{value:,.0f}"
