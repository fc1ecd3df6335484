"""Points of the plots, for the templates of `dvc plots`.

Curves are thinned to 200 points: they look the same as 30,000, and every version stores its plots.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

POINTS = 200
BINS = 10

Point = dict[str, float]


def roc(truth: NDArray[Any], score: NDArray[Any]) -> list[Point]:
    """False and true positive rate, by falling threshold."""
    fpr, tpr, _ = roc_curve(truth, score)
    return [{"fpr": float(fpr[i]), "tpr": float(tpr[i])} for i in _spread(len(fpr))]


def precision_recall(truth: NDArray[Any], score: NDArray[Any]) -> list[Point]:
    """Recall and precision, by rising threshold."""
    precision, recall, _ = precision_recall_curve(truth, score)
    return [{"recall": float(recall[i]), "precision": float(precision[i])} for i in _spread(len(recall))]


def calibration(truth: NDArray[Any], score: NDArray[Any]) -> list[Point]:
    """Mean predicted probability and observed fraction, in bins of equally many rows."""
    order = np.argsort(score, kind="stable")
    return [
        {"predicted": float(score[part].mean()), "observed": float(truth[part].mean()), "rows": float(len(part))}
        for part in np.array_split(order, BINS)
        if len(part)
    ]


def _spread(count: int) -> list[int]:
    return sorted({round(i) for i in np.linspace(0, count - 1, min(count, POINTS)).tolist()})
