"""What the training inputs look like, feature by feature, so that live inputs can be held against them later.

Counts in ten quantile bins or in the most frequent categories, and no row of the data: enough for the population
stability index, small enough to travel with the model, and the same for the same rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

BINS = 10
CATEGORIES = 20
"""The most frequent ones are counted by name, the rest together."""


def reference(inputs: pd.DataFrame, categorical: list[str]) -> dict[str, Any]:
    """The histogram of every feature.

    Args:
        inputs: the training features as the model takes them (`artifact.model_inputs`), shape (rows, features).
        categorical: those that are categories; the others are numbers.

    Returns:
        `rows`, and for each feature its `counts`, its `missing` and, for a number, the inner `edges` of its bins: a
        value equal to an edge belongs to the bin above it.
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
