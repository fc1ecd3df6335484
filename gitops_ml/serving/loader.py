"""Loads a model of any format behind one interface.

Runs only inside a locked-down container. A skops file may hold only types that skops trusts, `TRUSTED_TYPES`, and the
reviewed types of the model's manifest. A pickle is loaded only if the deployment allows it.

Libraries of one format are imported where they are used: the runtime image holds only those that its models need.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.artifacts.skops_types import TRUSTED_TYPES
from gitops_ml.errors import GitopsError, ModelRejected
from gitops_ml.serving.manifest import model_file, read_manifest
from gitops_ml.serving.protocol import Column

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

Outputs = Mapping[str, NDArray[Any]]


class Model(Protocol):
    """A loaded model: takes named columns and gives named arrays, of n rows each."""

    threaded: bool
    """True if calls must never overlap: all of them run in the server's one thread."""

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Outputs | Awaitable[Outputs]:
        """Compute `outputs`; an awaitable is awaited in the server's event loop."""


def load_model(model_dir: Path, *, allow_pickle: bool = False) -> tuple[Manifest, Model]:
    """Load the artifact in `model_dir`.

    Raises:
        ModelRejected: the manifest, the file or a type in it cannot be accepted. Names which.
    """
    manifest = read_manifest(model_dir)
    loaders: dict[str, Callable[[], Model]] = {
        "skops": lambda: _skops(model_file(model_dir, manifest), manifest),
        "joblib": lambda: _joblib(model_file(model_dir, manifest), manifest, allow_pickle),
        "onnx": lambda: _onnx(model_file(model_dir, manifest), manifest),
        "predictor": lambda: _predictor(model_dir, manifest),
    }
    try:
        return manifest, loaders[manifest.format]()
    except GitopsError:
        raise
    except Exception as error:  # a corrupt or hostile file may raise anything at all
        raise ModelRejected(
            f"the {manifest.format} model {manifest.name!r} cannot be loaded",
            why=f"{type(error).__name__}: {error}",
            fix="dvc repro train",
        ) from error


class Estimator:
    """A scikit-learn estimator, which takes a DataFrame with one column for each input tensor."""

    threaded = False

    def __init__(self, estimator: Any, manifest: Manifest) -> None:
        from sklearn.pipeline import Pipeline

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
        self._matrix = len(manifest.inputs) == 1 and len(manifest.inputs[0].shape) > 1

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Outputs:
        """Outputs are of shape (n,) or (n, classes)."""
        data = next(iter(columns.values())) if self._matrix else _frame(columns)
        estimator = self._whole
        if self._before is not None and len(outputs) > 1:
            data, estimator = self._before.transform(data), self._whole.steps[-1][1]
        derived = self._argmax and {"predict", "predict_proba"} <= set(outputs)
        called = [name for name in outputs if name != "predict" or not derived]
        arrays = {name: getattr(estimator, name)(data) for name in called}
        if derived:
            labels = _largest(arrays["predict_proba"], estimator.classes_)
            arrays["predict"] = estimator.predict(data) if labels is None else labels
        return arrays


class OnnxModel:
    """An ONNX session, with one input for each tensor, or with a single input that takes all columns as a matrix."""

    threaded = False

    def __init__(self, session: Any, manifest: Manifest) -> None:
        self._session = session
        self._inputs = {node.name: len(node.shape) for node in session.get_inputs()}
        fed = {spec.name for spec in manifest.inputs}
        self._stacked = len(self._inputs) == 1 and set(self._inputs) != fed
        absent = {spec.name for spec in manifest.outputs} - {node.name for node in session.get_outputs()}
        unfed = set() if self._stacked else set(self._inputs) ^ fed
        if absent or unfed:
            raise ModelRejected(
                "the manifest and the ONNX graph name different tensors",
                why=", ".join(sorted(absent | unfed)),
                fix="name inputs and outputs in the manifest as the graph does",
            )

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Outputs:
        """Outputs have the shapes of the graph."""
        feed: dict[str, NDArray[Any]]
        if self._stacked:
            feed = {next(iter(self._inputs)): np.column_stack([np.asarray(column) for column in columns.values()])}
        else:
            feed = {name: _ranked(columns[name], rank) for name, rank in self._inputs.items()}
        names = list(outputs)
        return dict(zip(names, map(np.asarray, self._session.run(names, feed)), strict=True))


class Predictor:
    """The user's own class: `Class(model_dir)` with `predict(frame)`, which gives a mapping or the one output's array.

    A coroutine function is awaited. Any other runs in the server's one thread, so it need not be thread-safe.
    """

    def __init__(self, predictor: Any, outputs: Sequence[Tensor]) -> None:
        self._predict = predictor.predict
        self._only = outputs[0].name if len(outputs) == 1 else None
        self._names = [spec.name for spec in outputs]
        self._asynchronous = inspect.iscoroutinefunction(self._predict)
        self.threaded = not self._asynchronous

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Outputs | Awaitable[Outputs]:
        """Outputs have the shapes that the user's class gives."""
        if self._asynchronous:
            return self._awaited(columns, outputs)
        return self._chosen(self._predict(_frame(columns)), outputs)

    async def _awaited(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Outputs:
        return self._chosen(await self._predict(_frame(columns)), outputs)

    def _chosen(self, answer: Any, outputs: Sequence[str]) -> Outputs:
        if not isinstance(answer, Mapping):
            if self._only is None:
                raise TypeError(f"predict() must give a mapping of {', '.join(self._names)}")
            answer = {self._only: answer}
        return {name: np.asarray(answer[name]) for name in outputs}


def _largest(probabilities: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any] | None:
    """The class of each row's largest probability; None if some row is close to a tie."""
    if probabilities.shape[1] < 2:
        return None
    ranked = np.partition(probabilities, -2, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > TIE  # False for NaN as well
    return classes[probabilities.argmax(axis=1)] if clear.all() else None


def _skops(path: Path, manifest: Manifest) -> Model:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        estimator = skops.io.load(path, trusted=[*TRUSTED_TYPES, *manifest.trusted_types])
    except UntrustedTypesFoundException as error:
        raise ModelRejected(
            f"{path.name} holds types that are not trusted",
            why=str(error).replace("\n", " "),
            fix="review them, and add types that are safe to `trusted_types` of the model's manifest",
        ) from error
    return Estimator(estimator, manifest)


def _joblib(path: Path, manifest: Manifest, allow_pickle: bool) -> Model:
    if not allow_pickle:
        raise ModelRejected(
            f"{path.name} is a pickle, which runs any code when it is loaded",
            why="the deployment does not allow pickles",
            fix="train to skops, or set `env: {GITOPS_ML_ALLOW_PICKLE: '1'}` in the deployment",
        )
    import joblib

    return Estimator(joblib.load(path), manifest)


def _onnx(path: Path, manifest: Manifest) -> Model:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelRejected(
            "the model is ONNX and the runtime has no onnxruntime",
            why=str(error),
            fix="add onnxruntime to the model's locked requirements",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return OnnxModel(session, manifest)


def _predictor(model_dir: Path, manifest: Manifest) -> Model:
    module_name, _, class_name = (manifest.predictor or "").partition(":")
    if not module_name or not class_name:
        raise ModelRejected(
            f"predictor {manifest.predictor!r} is not of the form module:Class",
            fix="correct the model's manifest",
        )
    sys.path.insert(0, str(model_dir))
    predictor = getattr(importlib.import_module(module_name), class_name)(model_dir)
    return Predictor(predictor, manifest.outputs)


def _frame(columns: Mapping[str, Column]) -> Any:
    import pandas as pd

    return pd.DataFrame(columns)


def _ranked(column: Column, rank: int) -> NDArray[Any]:
    array = np.asarray(column, dtype=object) if isinstance(column, list) else column
    return array.reshape(-1, 1) if array.ndim == 1 and rank == 2 else array


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))
