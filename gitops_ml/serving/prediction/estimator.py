"""Calls a scikit-learn estimator with the columns of a request, in the form in which it was fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.messages import Column

METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform")
"""Methods of an estimator that may be outputs."""

ARGMAX = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.ensemble._forest.ExtraTreesClassifier",
        "sklearn.tree._classes.DecisionTreeClassifier",
        "sklearn.linear_model._logistic.LogisticRegression",
    }
)
"""Classifiers whose `predict` is the class with the largest score, as scikit-learn's source shows."""

TIE = 1e-9
"""Rounding may rank two probabilities that are closer than this differently than their scores."""


class Estimator:
    """A scikit-learn estimator. It takes a DataFrame with one column for each input tensor, a matrix for a single input
    of two dimensions, and the values themselves where its first step takes texts."""

    threaded = False

    def __init__(self, estimator: Any, manifest: Manifest) -> None:
        from sklearn.pipeline import Pipeline

        self.title = f"model {manifest.name!r} ({_class_of(estimator)})"
        for spec in manifest.outputs:
            if spec.name not in METHODS or not callable(getattr(estimator, spec.name, None)):
                raise ModelRejected(
                    f"the model has no output {spec.name!r}",
                    why=f"outputs are methods of {type(estimator).__name__} out of {', '.join(METHODS)}",
                    fix="name the outputs in the manifest after methods of the estimator",
                )
        self._whole = estimator
        # Several outputs share one pass through the steps before the last, as Pipeline.predict runs them.
        self._before = estimator[:-1] if type(estimator) is Pipeline and len(estimator.steps) > 1 else None
        last = type(estimator if self._before is None else estimator.steps[-1][1])
        self._argmax = f"{last.__module__}.{last.__qualname__}" in ARGMAX
        matrix = len(manifest.inputs) == 1 and len(manifest.inputs[0].shape) > 1
        self._as_given = _matrix if matrix else _texts if len(manifest.inputs) == 1 and takes_texts(estimator) else None
        self._missing = np.nan if manifest.missing_texts == "nan" else None

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Mapping[str, Any]:
        """What the estimator's methods give, by output."""
        data = self._as_given(columns) if self._as_given else frame(columns, self._missing)
        estimator = self._whole
        if self._before is not None and len(outputs) > 1:
            data, estimator = self._before.transform(data), self._whole.steps[-1][1]
        derived = self._argmax and {"predict", "predict_proba"} <= set(outputs)
        called = [name for name in outputs if name != "predict" or not derived]
        values = {name: getattr(estimator, name)(data) for name in called}
        if derived:
            labels = _largest(values["predict_proba"], estimator.classes_)
            values["predict"] = estimator.predict(data) if labels is None else labels
        return values


def frame(columns: Mapping[str, Column], missing: float | None = None) -> Any:
    """The columns as a DataFrame. `missing` takes the place of a missing text: encoders tell None from NaN."""
    import pandas as pd

    if missing is None:
        return pd.DataFrame(columns)
    return pd.DataFrame({name: _filled(column, missing) for name, column in columns.items()})


def _filled(column: Column, missing: float) -> Any:
    if not isinstance(column, list) or None not in column:
        return column
    return np.array([missing if value is None else value for value in column], dtype=object)


def _matrix(columns: Mapping[str, Column]) -> Any:
    """The one tensor with two dimensions; the protocol's reader gives a matrix of one column as a column."""
    values = np.asarray(next(iter(columns.values())))
    return values.reshape(len(values), -1)


def _texts(columns: Mapping[str, Column]) -> Any:
    return next(iter(columns.values()))


def takes_texts(estimator: Any) -> bool:
    """Whether the estimator, or a pipeline's first step, iterates over texts, as CountVectorizer does.

    Given a DataFrame it would iterate over the names of the columns, without an error.
    """
    from sklearn.pipeline import Pipeline

    while isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
        if not steps:
            return False
        estimator = steps[0]
    if hasattr(estimator, "__sklearn_tags__"):
        tags = estimator.__sklearn_tags__().input_tags
        return bool(tags.string and not tags.two_d_array)
    kinds = estimator._get_tags()["X_types"] if hasattr(estimator, "_get_tags") else ()  # before scikit-learn 1.6
    return "string" in kinds and "2darray" not in kinds


def _class_of(estimator: Any) -> str:
    """The estimator's class; of a pipeline, the class of its last step."""
    steps = getattr(estimator, "steps", None)
    return type(steps[-1][1] if steps else estimator).__name__


def _largest(probabilities: Any, classes: NDArray[Any]) -> NDArray[Any] | None:
    """The class of each row's largest probability; None if some row is close to a tie, or there are several targets."""
    if not isinstance(probabilities, np.ndarray) or probabilities.shape[1] < 2:
        return None
    ranked = np.partition(probabilities, -2, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > TIE  # False for NaN as well
    return classes[probabilities.argmax(axis=1)] if clear.all() else None
