"""A canary or shadow as a picture: shares of bad requests against the margin, and the evidence for both verdicts."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gitops_ml.core.verification.statistics.wilson import wilson_interval
from gitops_ml.page.pictures.shapes import (
    LEFT,
    RIGHT,
    Axis,
    Picture,
    Shape,
    Tone,
    count,
    heading,
    numbers,
    percent,
    plain,
    text_at,
)

_ARMS = ("candidate", "incumbent")
_EVIDENCE = {"evidence_worse": ("it is worse", "bad"), "evidence_harmless": ("it is harmless", "good")}


def traffic_picture(figures: Mapping[str, object], tone: Tone) -> Picture | None:
    """The share of bad requests of both arms, with 95 % intervals of the counts (Wilson), and the evidence.

    None before both arms had requests.
    """
    known = numbers(figures)
    counts = {arm: (known.get(f"{arm}_bad", -1.0), known.get(f"{arm}_requests", 0.0)) for arm in _ARMS}
    if not all(0 <= bad <= requests and requests >= 1 for bad, requests in counts.values()):
        return None
    shares = {arm: bad / requests for arm, (bad, requests) in counts.items()}
    ends = {arm: wilson_interval(bad, requests) for arm, (bad, requests) in counts.items()}
    margin = known.get("max_bad_increase")
    limit = None if margin is None else shares["incumbent"] + margin
    axis = Axis([0.0, *(high for _, high in ends.values()), *([limit] if limit is not None else [])], start=0.0)
    shapes: list[Shape] = []
    if limit is not None:
        edge = axis.at(limit)
        shapes.append(text_at(edge, 92, f"{percent(limit)}: incumbent + {percent(margin or 0.0)}"))
    said = []
    for top, arm in zip((0, 38), _ARMS, strict=True):
        if limit is not None:
            shapes.append(Shape("rect", "zone", edge, top + 20, max(0.0, RIGHT - edge), 16))
            shapes.append(Shape("line", "bound", edge, top + 19, edge, top + 37))
        bad, requests = counts[arm]
        value = f"{percent(shares[arm])}, {count(bad)} of {count(requests)}"
        shapes += heading(top + 14, f"bad, {arm}", value)
        shapes += _bar(axis, shares[arm], ends[arm], top + 28, tone if arm == "candidate" else "plain")
        said.append(f"bad requests of the {arm} {value}")
    evidence, height = _evidence(known, 104)
    shapes += evidence
    if limit is not None:
        said.append(f"limit {percent(limit)}")
    said += [f"evidence that {what} {plain(known[name])}" for name, (what, _) in _EVIDENCE.items() if name in known]
    legend = [(f"bar {tone}", "share"), ("whisker", "95 % interval")]
    legend += [("bound", "what decides")] if limit is not None or evidence else []
    return Picture("Bad requests", "; ".join(said), height, tuple(shapes), tuple(legend))


def _bar(axis: Axis, share: float, ends: tuple[float, float], y: float, tone: str) -> list[Shape]:
    low, high = axis.at(ends[0]), axis.at(ends[1])
    return [
        Shape("line", "track", LEFT, y, RIGHT, y),
        Shape("rect", f"bar {tone}", LEFT, y - 5, max(1.0, axis.at(share) - LEFT), 10),
        Shape("line", "whisker", low, y, high, y),
        Shape("line", "whisker", low, y - 4, low, y + 4),
        Shape("line", "whisker", high, y - 4, high, y + 4),
    ]


def _evidence(known: Mapping[str, float], top: float) -> tuple[list[Shape], float]:
    """Gauges of the two e-processes, on a logarithmic axis from 1; the needed value decides."""
    needed = known.get("evidence_needed", 0.0)
    held = [(known[name], *style) for name, style in _EVIDENCE.items() if known.get(name, 0.0) > 0]
    if needed <= 1 or not held:
        return [], top
    shapes: list[Shape] = []
    axis = Axis([0.0, math.log(needed), *(math.log(value) for value, *_ in held)], start=0.0)
    edge = axis.at(math.log(needed))
    for number, (value, what, tone) in enumerate(held):
        y = top + 38 * number
        shapes += heading(y + 14, f"evidence that {what}", f"{plain(value)} of {plain(needed)}")
        shapes.append(Shape("line", "track", LEFT, y + 28, RIGHT, y + 28))
        reached = axis.at(max(0.0, math.log(value)))
        shapes.append(Shape("rect", f"bar {tone if value >= needed else 'plain'}", LEFT, y + 23, reached - LEFT, 10))
        shapes.append(Shape("line", "bound", edge, y + 19, edge, y + 37))
    return shapes, top + 38 * len(held) + 4
