"""reference.json: counts every training row, is the same each time, and holds no rows."""

from __future__ import annotations

import numpy as np
import pandas as pd

from gitops_ml.artifacts.reference import CATEGORIES, reference


def test_numbers_are_counted_in_ten_quantile_bins() -> None:
    values = [*range(1000), np.nan, np.nan]
    histograms = reference(pd.DataFrame({"x": np.array(values, dtype=float)}), [])
    x = histograms["features"]["x"]
    assert (histograms["rows"], x["kind"], x["missing"]) == (1002, "number", 2)
    assert (len(x["edges"]), sum(x["counts"])) == (9, 1000)
    assert max(x["counts"]) - min(x["counts"]) <= 2


def test_a_number_with_few_values_has_fewer_bins() -> None:
    values = np.array([0.0] * 70 + [1.0] * 20 + [5.0] * 10)
    x = reference(pd.DataFrame({"x": values}), [])["features"]["x"]
    assert (x["edges"], x["counts"]) == ([0.0, 1.0, 5.0], [0, 70, 20, 10])


def test_a_feature_without_values_has_one_empty_bin() -> None:
    x = reference(pd.DataFrame({"x": [np.nan, np.nan]}), [])["features"]["x"]
    assert x == {"kind": "number", "edges": [], "counts": [0], "missing": 2}


def test_the_most_frequent_categories_are_counted_by_name() -> None:
    values = [f"c{n:03d}" for n in range(50) for _ in range(50 - n)] + [None]
    histograms = reference(pd.DataFrame({"c": np.array(values, dtype=object)}), ["c"])["features"]["c"]
    assert list(histograms["counts"])[:2] == ["c000", "c001"]
    assert (len(histograms["counts"]), histograms["missing"]) == (CATEGORIES, 1)
    assert sum(histograms["counts"].values()) + histograms["other"] == len(values) - 1
