"""Slices by category and range, ranked by how much their answers change for certain."""

from __future__ import annotations

import numpy as np
import pytest

from gitops_ml.core.verification.statistics.slices import MISSING, most_changed

COUNT = 1000
RANDOM = np.random.default_rng(1)
CARRIER = RANDOM.choice(np.array(["AA", "UA", None], dtype=object), COUNT)
DISTANCE = RANDOM.uniform(0, 100, COUNT)


def test_the_slice_whose_answers_flip_comes_first() -> None:
    change = (CARRIER == "UA").astype(float)
    first, *rest = most_changed({"carrier": CARRIER, "distance": DISTANCE}, change, change * 0.2, True)
    assert (first.column, first.value, first.change) == ("carrier", "UA", 1.0)
    assert first.shift == pytest.approx(0.2)
    assert all(part.low < first.low for part in rest)


def test_numbers_are_cut_into_fifths_and_missing_ones_are_a_slice() -> None:
    values = DISTANCE.copy()
    values[:200] = np.nan
    slices = most_changed({"distance": values}, np.zeros(COUNT), None, True)
    rows = {part.value: part.rows for part in slices}
    assert rows.pop(MISSING) == 200
    assert sorted(rows.values()) == [160] * 5


def test_few_distinct_numbers_are_slices_each() -> None:
    slices = most_changed({"weekday": np.arange(COUNT) % 3.0}, np.zeros(COUNT), None, True)
    assert sorted(part.value for part in slices) == ["0", "1", "2"]


def test_a_slice_needs_30_rows() -> None:
    rare = np.array(["common"] * (COUNT - 5) + ["rare"] * 5, dtype=object)
    change = (rare == "rare").astype(float)
    assert [part.value for part in most_changed({"kind": rare}, change, None, True)] == ["common"]


def test_values_are_ranked_by_their_mean_difference() -> None:
    change = np.where(DISTANCE > 80, 2.0, 0.1)
    first = most_changed({"distance": DISTANCE}, change, None, False)[0]
    assert first.value == f"{np.quantile(DISTANCE, 0.8):g} to {DISTANCE.max():g}"
