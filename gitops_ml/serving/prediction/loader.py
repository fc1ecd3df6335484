"""Loads a model of any format behind one interface.

Runs only inside a locked-down container. A skops file may hold only types that skops trusts, `TRUSTED_TYPES`, and the
reviewed types of the model's manifest. A pickle is loaded only if the deployment allows it.

Libraries of one format are imported where they are used: the runtime image holds only those that its models need.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.artifacts.skops_types import TRUSTED_TYPES
from gitops_ml.errors import GitopsError, ModelRejected
from gitops_ml.serving.messages import Column
from gitops_ml.serving.prediction.boosters import load_lightgbm, load_xgboost
from gitops_ml.serving.prediction.estimator import Estimator, frame
from gitops_ml.serving.prediction.manifest import model_file, read_manifest
from gitops_ml.serving.prediction.mlflow_function import load_function

Outputs = Mapping[str, Any]
"""What the model gives, by output; `outputs.conform` makes arrays of it."""


class Model(Protocol):
    """A loaded model: takes named columns and gives named outputs, of n rows each."""

    title: str
    """Names the model in messages."""
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
        "onnx": lambda: _onnx(model_file(model_dir, manifest), manifest),
        "xgboost": lambda: load_xgboost(model_file(model_dir, manifest), manifest),
        "lightgbm": lambda: load_lightgbm(model_file(model_dir, manifest), manifest),
        "mlflow": lambda: _mlflow(model_dir, manifest, allow_pickle),
        "predictor": lambda: _predictor(model_dir, manifest),
    }
    estimator = load_estimator(model_dir, manifest, allow_pickle=allow_pickle)
    with _translated(manifest):
        return manifest, loaders[manifest.format]() if estimator is None else Estimator(estimator, manifest)


def load_estimator(model_dir: Path, manifest: Manifest, *, allow_pickle: bool = False) -> Any:
    """Load the scikit-learn estimator of an artifact; None where its format holds none.

    Raises:
        ModelRejected: the file or a type in it cannot be accepted, or another scikit-learn wrote it. A pickle,
            whose code runs when it is loaded, is refused without `allow_pickle`.
    """
    formats: dict[str, Callable[[Path], Any]] = {
        "skops": lambda path: _skops(path, manifest),
        "joblib": lambda path: _joblib(path, allow_pickle),
    }
    if manifest.format not in formats:
        return None
    with _translated(manifest):
        return formats[manifest.format](model_file(model_dir, manifest))


class OnnxModel:
    """An ONNX session, with one input for each tensor, or with a single input that takes all columns as a matrix."""

    threaded = False

    def __init__(self, session: Any, manifest: Manifest) -> None:
        self.title = f"model {manifest.name!r} (ONNX)"
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
        return dict(zip(names, self._session.run(names, feed), strict=True))


class Predictor:
    """The user's own class: `Class(model_dir)` with `predict(frame)`, which gives a mapping or the one output's array.

    A coroutine function is awaited. Any other runs in the server's one thread, so it need not be thread-safe.
    """

    def __init__(self, predictor: Any, manifest: Manifest) -> None:
        self.title = f"model {manifest.name!r} ({type(predictor).__name__})"
        self._predict = predictor.predict
        self._names = [spec.name for spec in manifest.outputs]
        self._only = self._names[0] if len(self._names) == 1 else None
        self._asynchronous = inspect.iscoroutinefunction(self._predict)
        self.threaded = not self._asynchronous

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Outputs | Awaitable[Outputs]:
        """Outputs have the shapes that the user's class gives."""
        if self._asynchronous:
            return self._awaited(columns, outputs)
        return self._chosen(self._predict(frame(columns)), outputs)

    async def _awaited(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Outputs:
        return self._chosen(await self._predict(frame(columns)), outputs)

    def _chosen(self, answer: Any, outputs: Sequence[str]) -> Outputs:
        if not isinstance(answer, Mapping):
            if self._only is None:
                raise TypeError(f"predict() must give a mapping of {', '.join(self._names)}")
            answer = {self._only: np.asarray(answer)}
        absent = [name for name in outputs if name not in answer]
        if absent:
            raise LookupError(f"predict() gives no {', '.join(absent)}")
        return {name: np.asarray(answer[name]) for name in outputs}


@contextlib.contextmanager
def _translated(manifest: Manifest) -> Iterator[None]:
    """Raise `ModelRejected` for whatever loading a corrupt or hostile file raises."""
    try:
        with _same_scikit_learn(manifest.name):
            yield
    except GitopsError:
        raise
    except Exception as error:
        raise ModelRejected(
            f"the {manifest.format} model {manifest.name!r} cannot be loaded",
            why=f"{type(error).__name__}: {error}",
            fix="correct it or train again, then gitops-ml check",
        ) from error


@contextlib.contextmanager
def _same_scikit_learn(name: str) -> Iterator[None]:
    """Refuse a model that was stored by another scikit-learn, which only warns and may then predict something else."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for each in caught:
        stored = getattr(each.message, "original_sklearn_version", None)  # of sklearn's InconsistentVersionWarning
        if stored is not None:
            current = getattr(each.message, "current_sklearn_version", None)
            raise ModelRejected(
                f"the model {name!r} was trained with scikit-learn {stored}",
                why=f"this runtime has {current}, and may predict something else",
                fix=f"pin scikit-learn=={stored} in the model's requirements.txt, or train again",
            )
        warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _skops(path: Path, manifest: Manifest) -> Any:
    import skops.io
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.io.load(path, trusted=[*TRUSTED_TYPES, *manifest.trusted_types])
    except UntrustedTypesFoundException as error:
        raise ModelRejected(
            f"{path.name} holds types that are not trusted",
            why=str(error).replace("\n", " "),
            fix="review them, and add types that are safe to `trusted_types` of the model's manifest",
        ) from error


def _joblib(path: Path, allow_pickle: bool) -> Any:
    _require_allowed(f"{path.name} is a pickle, which", allow_pickle)
    import joblib

    return joblib.load(path)


def _mlflow(model_dir: Path, manifest: Manifest, allow_pickle: bool) -> Model:
    _require_allowed("only MLflow can load the model, which", allow_pickle)
    return load_function(model_dir, manifest)


def _require_allowed(what: str, allow_pickle: bool) -> None:
    if not allow_pickle:
        raise ModelRejected(
            f"{what} runs any code when it is loaded",
            why="the deployment does not allow pickles",
            fix="train to skops, or review where the file comes from and set `serve: {allow_pickle: true}`",
        )


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
    return Predictor(predictor, manifest)


def _ranked(column: Column, rank: int) -> NDArray[Any]:
    array = np.asarray(column, dtype=object) if isinstance(column, list) else column
    return array.reshape(-1, 1) if array.ndim == 1 and rank == 2 else array


def _threads() -> int:
    return int(os.environ.get("OMP_NUM_THREADS", "1"))
