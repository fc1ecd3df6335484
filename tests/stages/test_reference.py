"""The reference of the training inputs: whole, stable, and without rows of the data."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gitops_ml.stages.reference import CATEGORIES, reference


def test_numbers_are_counted_in_tenths() -> None:
    values = [*range(1000), np.nan, np.nan]
    found = reference(pd.DataFrame({"x": np.array(values, dtype=float)}), [])
    x = found["features"]["x"]
    assert (found["rows"], x["kind"], x["missing"]) == (1002, "number", 2)
    assert (len(x["edges"]), sum(x["counts"])) == (9, 1000)
    assert max(x["counts"]) - min(x["counts"]) <= 2


def test_a_number_of_few_values_has_fewer_bins() -> None:
    values = np.array([0.0] * 70 + [1.0] * 20 + [5.0] * 10)
    x = reference(pd.DataFrame({"x": values}), [])["features"]["x"]
    assert (x["edges"], x["counts"]) == ([0.0, 1.0, 5.0], [0, 70, 20, 10])


def test_a_feature_without_any_value_has_one_empty_bin() -> None:
    x = reference(pd.DataFrame({"x": [np.nan, np.nan]}), [])["features"]["x"]
    assert x == {"kind": "number", "edges": [], "counts": [0], "missing": 2}


def test_the_most_frequent_categories_are_named() -> None:
    values = [f"c{n:03d}" for n in range(50) for _ in range(50 - n)] + [None]
    found = reference(pd.DataFrame({"c": np.array(values, dtype=object)}), ["c"])["features"]["c"]
    assert list(found["counts"])[:2] == ["c000", "c001"]
    assert (len(found["counts"]), found["missing"]) == (CATEGORIES, 1)
    assert sum(found["counts"].values()) + found["other"] == len(values) - 1
