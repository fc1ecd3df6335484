"""Histograms of the training inputs, so that live inputs can be compared with them later.

They hold counts in ten quantile bins or in the most frequent categories, and no row of the data. That is enough for the
population stability index, small enough to ship with the model, and the same for the same rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

BINS = 10
CATEGORIES = 20
"""So many of the most frequent categories are counted by name, the rest together."""


def reference(inputs: pd.DataFrame, categorical: list[str]) -> dict[str, Any]:
    """Make the histogram of every feature.

    Args:
        inputs: the training features as the model takes them (`artifact.model_inputs`), shape (rows, features).
        categorical: the features that are categories; the others are numbers.

    Returns:
        the content of reference.json: `rows`, and for each feature its `counts`, `missing` and, for numbers, the inner
        `edges` of the bins. A value equal to an edge belongs to the bin above it.
    """
    features = {
        str(name): _categories(inputs[name]) if name in categorical else _numbers(inputs[name])
        for name in inputs.columns
    }
    return {"schema": 1, "rows": len(inputs), "features": features}


def _numbers(column: pd.Series[Any]) -> dict[str, Any]:
    values = column.to_numpy(dtype=float)
    finite = values[np.isfinite(values)]
    shares = np.arange(1, BINS) / BINS
    edges = np.unique(np.quantile(finite, shares, method="higher")) if len(finite) else np.array([])
    counts = np.bincount(np.searchsorted(edges, finite, side="right"), minlength=len(edges) + 1)
    return {
        "kind": "number",
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "missing": len(values) - len(finite),
    }


def _categories(column: pd.Series[Any]) -> dict[str, Any]:
    counts = column.dropna().astype(str).value_counts()
    ranked = sorted(counts.items(), key=lambda item: (-int(item[1]), str(item[0])))
    named = {str(name): int(count) for name, count in ranked[:CATEGORIES]}
    return {
        "kind": "category",
        "counts": named,
        "other": int(sum(int(count) for _, count in ranked[CATEGORIES:])),
        "missing": int(column.isna().sum()),
    }
