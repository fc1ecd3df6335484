"""Judges the stored model on the held-out rows: metrics, plots, and bounds that a worthless model fails.

The bounds are absolute and coarse. Whether a model may replace another is decided at the rollout, where both are
compared on the same rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import metrics

from gitops_ml.artifacts.manifest import ClassLabel, Manifest, class_name
from gitops_ml.errors import InputError
from gitops_ml.stages import curves
from gitops_ml.stages.artifact import model_inputs, read_artifact
from gitops_ml.stages.columns import times_of
from gitops_ml.stages.command import run_stage
from gitops_ml.stages.params import Evaluate

Metrics = dict[str, float | int]


def check_unseen(rows: pd.DataFrame, manifest: Manifest) -> None:
    """Check that no held-out row lies in the time range that the model was trained on.

    Raises:
        InputError: a held-out row does, or the rows have no such time.
    """
    training, trained = manifest.training, manifest.trained
    if training is None or training.time_column is None or trained is None:
        return
    times = times_of(rows, training.time_column)
    first, last = times.min(), times.max()
    if first <= trained[1] and last >= trained[0]:
        raise InputError(
            f"held-out rows of {first.isoformat()} to {last.isoformat()} lie in the model's training range",
            why=f"it was trained on {training.from_} to {training.to}",
            fix="split by time in prepare, or leave train.time_column empty when the split is random",
        )


PROBABILITY_METRICS = ("roc_auc", "average_precision", "log_loss", "brier")
"""Metrics that a model without `predict_proba` does not have."""


def binary_metrics(truth: NDArray[Any], score: NDArray[Any], threshold: float) -> Metrics:
    """Metrics of the positive class.

    Args:
        truth: shape (rows,), 1 for rows of the positive class, else 0.
        score: shape (rows,), the predicted probability of that class.
        threshold: a row counts as positive from this probability on.
    """
    return {
        "roc_auc": float(metrics.roc_auc_score(truth, score)),
        "average_precision": float(metrics.average_precision_score(truth, score)),
        "log_loss": float(metrics.log_loss(truth, score, labels=[0, 1])),
        "brier": float(metrics.brier_score_loss(truth, score)),
        **decision_metrics(truth, (score >= threshold).astype(int)),
    }


def decision_metrics(truth: NDArray[Any], predicted: NDArray[Any]) -> Metrics:
    """Metrics of the positive class that need no probability. Both have shape (rows,), 1 for that class, else 0."""
    tn, fp, fn, tp = metrics.confusion_matrix(truth, predicted, labels=[0, 1]).ravel().tolist()
    return {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "precision": float(metrics.precision_score(truth, predicted, zero_division=0)),
        "recall": float(metrics.recall_score(truth, predicted, zero_division=0)),
        "f1": float(metrics.f1_score(truth, predicted, zero_division=0)),
        "true_positives": tp,
        "false_positives": fp,
        "true_negatives": tn,
        "false_negatives": fn,
        "positive_rate": float(truth.mean()),
        "rows": len(truth),
    }


def class_metrics(truth: NDArray[Any], predicted: NDArray[Any]) -> Metrics:
    """Metrics over several classes without a positive class."""
    return {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "balanced_accuracy": float(metrics.balanced_accuracy_score(truth, predicted)),
        "f1_macro": float(metrics.f1_score(truth, predicted, average="macro", zero_division=0)),
        "rows": len(truth),
    }


def regression_metrics(truth: NDArray[Any], predicted: NDArray[Any]) -> Metrics:
    """Metrics of a predicted number."""
    return {
        "r2": float(metrics.r2_score(truth, predicted)),
        "mae": float(metrics.mean_absolute_error(truth, predicted)),
        "rmse": float(metrics.root_mean_squared_error(truth, predicted)),
        "rows": len(truth),
    }


def check_bounds(values: Metrics, params: Evaluate) -> None:
    """Check the metrics against the bounds.

    Raises:
        InputError: a metric misses its bound, or was not computed. Names each of them.
    """
    unknown = sorted({*params.min, *params.max} - set(values))
    if unknown:
        needs = " (it has no predict_proba)" if set(unknown) & set(PROBABILITY_METRICS) else ""
        raise InputError(
            f"evaluate has a bound on {', '.join(unknown)}, which this model does not have{needs}",
            why=f"it has {', '.join(values)}",
            fix="edit evaluate in params.yaml",
        )
    missed = [
        f"{name} is {values[name]:.4f}, at least {low} is asked"
        for name, low in params.min.items()
        if values[name] < low
    ]
    missed += [
        f"{name} is {values[name]:.4f}, at most {top} is asked"
        for name, top in params.max.items()
        if values[name] > top
    ]
    if missed:
        raise InputError(
            "the model misses its bounds on held-out data",
            why="; ".join(missed),
            fix="look at data and training (`dvc metrics diff`), or review evaluate in params.yaml",
        )


def evaluate(params: Evaluate, model_path: Path, rows: pd.DataFrame, metrics_path: Path, plots: Path) -> str:
    """Write metrics and plots, then check the bounds: both are written even if a bound is missed.

    Raises:
        InputError: the model cannot be loaded, was trained on these rows, or misses a bound.
    """
    model, manifest = read_artifact(model_path)
    check_unseen(rows, manifest)
    categorical = [tensor.name for tensor in manifest.inputs if tensor.datatype == "BYTES"]
    inputs = model_inputs(rows, [tensor.name for tensor in manifest.inputs], categorical)
    if manifest.target is None:
        raise InputError(f"{model_path} does not say what it predicts", why="its manifest has no `target`")
    target, positive = manifest.target.name, manifest.target.positive
    if target not in rows:
        raise InputError(f"the held-out rows have no column {target!r}", fix="dvc repro prepare")
    plots.mkdir(parents=True, exist_ok=True)
    missing = ""
    if positive is None:
        truth, predicted = rows[target].to_numpy(), model.predict(inputs)
        values = (class_metrics if manifest.task == "classification" else regression_metrics)(truth, predicted)
        _write_pairs(plots / "predictions.csv", truth, predicted)
    else:
        truth = _is_class(rows[target], positive)
        if len(np.unique(truth)) < 2:
            raise InputError("the held-out rows are all of one class", fix="hold out more rows (prepare.split)")
        if hasattr(model, "predict_proba"):
            column = [class_name(label) for label in manifest.classes or ()].index(class_name(positive))
            score = model.predict_proba(inputs)[:, column]
            decided = (score >= params.threshold).astype(int)
            values = binary_metrics(truth, score, params.threshold)
            _write_points(plots / "roc.json", curves.roc(truth, score))
            _write_points(plots / "precision_recall.json", curves.precision_recall(truth, score))
            _write_points(plots / "calibration.json", curves.calibration(truth, score))
        else:
            decided = _is_class(pd.Series(model.predict(inputs)), positive)
            values = decision_metrics(truth, decided)
            missing = (
                f"; without predict_proba: no {', '.join(PROBABILITY_METRICS)}, and of the plots only confusion.csv"
            )
        _write_pairs(plots / "confusion.csv", truth, decided)
    metrics_path.write_text(json.dumps(values, indent=2) + "\n")
    check_bounds(values, params)
    return ", ".join(f"{name} {value:.4f}" for name, value in values.items() if isinstance(value, float)) + missing


def _is_class(labels: pd.Series[Any], positive: ClassLabel) -> NDArray[np.int64]:
    """1 for labels of the class, else 0. A label is the same class as 1, 1.0 or True."""
    names = [label for label in labels.unique() if class_name(label) == class_name(positive)]
    return labels.isin(names).to_numpy().astype(np.int64)


def _write_points(path: Path, points: list[curves.Point]) -> None:
    path.write_text(json.dumps(points, indent=1) + "\n")


def _write_pairs(path: Path, actual: NDArray[Any], predicted: NDArray[Any]) -> None:
    pd.DataFrame({"actual": actual, "predicted": predicted}).to_csv(path, index=False)


def _stage(params: Evaluate, paths: argparse.Namespace) -> str:
    try:
        rows = pd.read_parquet(paths.holdout)
    except OSError as error:
        raise InputError(f"{paths.holdout} cannot be read", why=str(error), fix="dvc repro prepare") from error
    return evaluate(params, paths.model, rows, paths.metrics, paths.plots)


if __name__ == "__main__":
    sys.exit(
        run_stage(
            _stage,
            Evaluate,
            {"model": "models/model", "holdout": "data/holdout.parquet", "metrics": "metrics.json", "plots": "plots"},
        )
    )
