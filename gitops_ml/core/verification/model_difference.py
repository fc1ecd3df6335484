"""How two versions of a model differ: what they were made from, and how they answer the same rows."""

from __future__ import annotations

from typing import Any

import msgspec

from gitops_ml.core.verification.statistics.slices import Slice
from gitops_ml.core.verification.verdict import CheckResult

Pair = tuple[Any, Any]
_LONGEST_VALUE = 60


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two versions; `learnt` and `rows`: range and number of its training rows, by its manifest."""

    version: str
    tag: str | None
    commit: str
    digest: str
    learnt: tuple[str | None, str | None] | None
    rows: int | None


class Predictions(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of both models to the same rows.

    Args:
        flips: number of answers that differ; None for regression.
        right, wrong: how many flips make an answer right, or wrong; None without labels.
        change: share of flips; for regression the mean absolute difference.
        shift: mean of B minus A, of the positive class's probability or of the value; None without probabilities.
        checks: the gate's checks with A as the incumbent and B as the candidate.
        slices: the values of columns whose rows change most.
    """

    data: str
    rows: int
    flips: int | None
    right: int | None
    wrong: int | None
    change: float
    shift: float | None
    checks: tuple[CheckResult, ...]
    slices: tuple[Slice, ...]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """The changes from A to B. Each change is (value in A, value in B), None for a value that is absent.

    Args:
        absent: the names of the fields that are empty because neither version has any, not because both have the same.
        unanswered: why there are no predictions.
    """

    model: str
    a: Side
    b: Side
    metrics: dict[str, Pair]
    params: dict[str, Pair]
    data: dict[str, Pair]
    files: dict[str, dict[str, list[str]]]
    code: dict[str, Pair]
    dependencies: dict[str, Pair]
    predictions: Predictions | None
    absent: tuple[str, ...] = ()
    unanswered: str = ""


def value_text(value: Any) -> str:
    """A value for people, in at most 60 characters."""
    text = f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
    text = text[:16] if text.startswith("md5:") else text
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."


def change_text(before: Any, after: Any) -> str:
    """The difference of two numbers, with its sign; empty for anything else."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after))
    return f"{after - before:+.4g}" if numbers else ""
