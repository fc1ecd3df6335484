"""Serves an MLflow folder of any flavour by the one function that MLflow makes of each, `python_function`.

Loading it runs code of the folder, so it counts as a pickle. The form of the rows is that of the folder's signature
(https://mlflow.org/docs/latest/ml/model/signatures/): a table, one array, or arrays by name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.messages import Column
from gitops_ml.serving.prediction.estimator import frame

ANSWER = "predict"
"""Name of an answer that has no name of its own."""


class MlflowFunction:
    """The function of an MLflow folder. Calls never overlap, since it need not be thread-safe."""

    threaded = True

    def __init__(self, function: Any, manifest: Manifest) -> None:
        self.title = f"model {manifest.name!r} (MLflow)"
        self._function = function
        self._widths = {spec.name: spec.shape[1:] for spec in manifest.inputs}
        schema = function.metadata.get_input_schema()
        self._arrays = schema is not None and schema.is_tensor_spec()
        self._named = schema is None or schema.has_input_names()

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Mapping[str, Any]:
        """Outputs have the shapes that the function gives."""
        values = self.answer(columns)
        absent = [name for name in outputs if name not in values]
        if absent:
            raise LookupError(f"the model gives no {', '.join(absent)}, but {', '.join(values) or 'nothing'}")
        return {name: values[name] for name in outputs}

    def answer(self, columns: Mapping[str, Column]) -> dict[str, NDArray[Any]]:
        """All that the function gives, by name."""
        return _by_name(self._function.predict(self._rows(columns)))

    def _rows(self, columns: Mapping[str, Column]) -> Any:
        if self._arrays:
            # The protocol's reader gives a matrix of one column as a column.
            arrays = {
                name: np.asarray(column).reshape(len(column), *self._widths[name]) for name, column in columns.items()
            }
            return arrays if self._named else next(iter(arrays.values()))
        if self._named:
            return frame(columns)
        import pandas as pd

        return pd.DataFrame(np.asarray(next(iter(columns.values()))))


def load_function(folder: Path, manifest: Manifest) -> MlflowFunction:
    """Load the MLflow folder `folder`; this runs code of it.

    Raises:
        ModelRejected: the model's requirements have no MLflow.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # MLflow imports GitPython, and the image has no git
    try:
        from mlflow import pyfunc
    except ImportError as error:
        raise ModelRejected(
            "only MLflow can load the model, and the runtime has none",
            why=str(error),
            fix="add mlflow-skinny to the model's locked requirements",
        ) from error
    return MlflowFunction(pyfunc.load_model(str(folder), suppress_warnings=True), manifest)


def _by_name(answer: Any) -> dict[str, NDArray[Any]]:
    """Arrays of what a function may give: a table, arrays by name, or one array, list or series."""
    if hasattr(answer, "columns"):
        return {str(name): answer[name].to_numpy() for name in answer.columns}
    if isinstance(answer, Mapping):
        return {str(name): np.asarray(value) for name, value in answer.items()}
    return {ANSWER: np.asarray(answer)}
