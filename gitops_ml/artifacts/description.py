"""What a fitted estimator says about itself and shows in its answers: its columns, task, classes and outputs.

scikit-learn is imported inside functions: the container of another kind of model has none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from gitops_ml.artifacts.inputs import numeric_datatype
from gitops_ml.artifacts.manifest import ClassLabel, Tensor
from gitops_ml.errors import InputError

Task = Literal["classification", "regression"]


def in_fitted_order(estimator: Any, rows: Any) -> Any:
    """The rows with their columns in the order in which the estimator was fitted to them.

    Raises:
        InputError: the rows have other columns than those that the estimator was fitted to. Names them.
    """
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None and isinstance(rows, pd.DataFrame):
        missing = [str(name) for name in names if name not in rows.columns]
        surplus = [str(name) for name in rows.columns if name not in set(names)]
        if missing or surplus:
            lacks = f"it lacks {', '.join(missing)}" if missing else ""
            more = f"the model was not fitted to {', '.join(surplus)}" if surplus else ""
            raise InputError(
                "X has other columns than the model",
                why="; ".join(filter(None, (lacks, more))),
                fix="give the rows that the model was fitted to, such as X[list(model.feature_names_in_)]",
            )
        return rows[list(names)]
    if names is not None:
        raise InputError(
            f"X has no names of columns ({type(rows).__name__})",
            why=f"the model was fitted to {', '.join(map(str, names[:10]))}",
            fix="give the DataFrame that the model was fitted to",
        )
    width = getattr(estimator, "n_features_in_", None)
    if width is not None and np.ndim(rows) == 2 and rows.shape[1] != width:
        raise InputError(
            f"X has {rows.shape[1]} columns, and the model was fitted to {width}",
            fix="give the rows that the model was fitted to",
        )
    return rows


def task_of(estimator: Any) -> Task:
    """`classification` if the estimator is a classifier, else `regression`, which stands for all other answers too."""
    from sklearn.base import is_classifier

    try:
        classifies = bool(is_classifier(estimator))
    except (AttributeError, TypeError):  # no estimator of scikit-learn
        classifies = hasattr(estimator, "classes_")
    return "classification" if classifies else "regression"


def class_labels(estimator: Any) -> tuple[ClassLabel, ...] | None:
    """The classes of a classifier with one target, as plain values in its order; None for another estimator."""
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return None
    # An array of objects may hold numpy's own texts, which no JSON encoder takes.
    labels = tuple(label.item() if isinstance(label, np.generic) else label for label in classes.tolist())
    return labels if all(isinstance(label, str | int | float | bool) for label in labels) else None


def answers(estimator: Any, rows: Any, outputs: Sequence[str] | None = None) -> dict[str, Any]:
    """Ask the estimator for each of its outputs.

    Args:
        outputs: names of methods; None takes what its kind of estimator offers, without a `predict_proba` that gives a
            list (one array for each target): a client could not tell the targets apart.

    Raises:
        InputError: it has no such method, or a method fails or gives something that is no dense array.
    """
    names = outputs or _offered(estimator)
    values: dict[str, Any] = {}
    for name in names:
        method = getattr(estimator, name, None)
        if not callable(method):
            raise InputError(
                f"{type(estimator).__name__} has no method {name!r}", fix="leave `outputs` out, or correct it"
            )
        try:
            value = method(rows)
        except Exception as error:
            raise InputError(
                f"{name} of the model fails on the first rows of X",
                why=f"{type(error).__name__}: {error}",
                fix="give the rows that the model was fitted to",
            ) from error
        if hasattr(value, "toarray"):
            raise InputError(
                f"{name} of the model gives a sparse matrix",
                why="an answer of the inference protocol is dense",
                fix="make the last step dense, such as OneHotEncoder(sparse_output=False)",
            )
        if isinstance(value, list) and outputs is None:
            continue
        values[name] = np.asarray(value)
    return values


def output_tensors(values: Mapping[str, Any]) -> tuple[Tensor, ...]:
    """Describe answers of n rows each as the model's outputs, in their order."""
    return tuple(
        Tensor(
            name=name,
            datatype="BYTES" if value.dtype.kind in "OUS" else numeric_datatype(value.dtype),
            shape=(-1, *value.shape[1:]),
        )
        for name, value in values.items()
    )


def _offered(estimator: Any) -> tuple[str, ...]:
    scores = next((name for name in ("predict_proba", "decision_function") if hasattr(estimator, name)), None)
    if hasattr(estimator, "predict"):
        return ("predict", scores) if scores else ("predict",)
    if hasattr(estimator, "transform"):
        return ("transform",)
    raise InputError(
        f"{type(estimator).__name__} has neither predict nor transform",
        fix="save a fitted estimator, or write a predictor class: see docs/serving.md",
    )
