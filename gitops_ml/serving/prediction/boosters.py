"""Serves the native files of XGBoost (JSON or UBJSON) and LightGBM (text), which hold numbers and run no code.

A booster knows neither names of classes nor its outputs' names: both come from the manifest.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.messages import Column

OUTPUTS = ("predict", "predict_proba")
PROBABILITIES = ("binary:logistic", "multi:softprob", "binary", "multiclass", "multiclassova")
"""Objectives of XGBoost, then of LightGBM, whose prediction is a probability for each class."""


@dataclass(frozen=True)
class Native:
    """A native booster, as its library reads it.

    Args:
        scores: gives what the library's own `Booster.predict` gives, shape (rows,) or (rows, classes).
        features: names of the columns that the booster was trained with; empty if it has none.
        width: how many columns it takes.
        objective: what it was trained for.
        targets: how many classes it was trained for; 0 or 1 for two classes, and for a number.
    """

    scores: Callable[[NDArray[Any]], NDArray[Any]]
    features: tuple[str, ...]
    width: int
    objective: str
    targets: int

    @property
    def classes(self) -> int:
        """How many classes it has probabilities for; 0 if it gives none."""
        return max(2, self.targets) if self.objective in PROBABILITIES else 0


class Booster:
    """A native booster behind the interface of all models.

    It takes a matrix of the columns; the outputs of a classifier follow from its probabilities.
    """

    threaded = False

    def __init__(self, native: Native, manifest: Manifest) -> None:
        self.title = f"model {manifest.name!r} ({manifest.format})"
        self._scores = native.scores
        self._matrix = len(manifest.inputs) == 1 and len(manifest.inputs[0].shape) > 1
        names = [spec.name for spec in manifest.inputs]
        self._order = list(native.features) if sorted(native.features) == sorted(names) else names
        self._classes = None if manifest.classes is None else np.array(manifest.classes)
        _check(manifest, native, names, self._columns(manifest))

    def predict(self, columns: Mapping[str, Column], outputs: Sequence[str]) -> Mapping[str, Any]:
        """Labels and probabilities of a classifier, else what the booster gives."""
        if self._matrix:
            values = np.asarray(next(iter(columns.values())))
            values = values.reshape(len(values), -1)
        else:
            values = np.column_stack([np.asarray(columns[name]) for name in self._order])
        scores = np.asarray(self._scores(values))
        if self._classes is None:
            return {"predict": scores}
        probabilities = np.column_stack([1 - scores, scores]) if scores.ndim == 1 else scores
        return {"predict": self._classes[probabilities.argmax(axis=1)], "predict_proba": probabilities}

    def _columns(self, manifest: Manifest) -> int:
        return manifest.inputs[0].shape[1] if self._matrix else len(manifest.inputs)


def load_xgboost(path: Path, manifest: Manifest) -> Booster:
    """Load a file of `Booster.save_model` or `XGBModel.save_model`; its trees answer up to the best iteration."""
    return Booster(open_xgboost(path, manifest.name), manifest)


def load_lightgbm(path: Path, manifest: Manifest) -> Booster:
    """Load a file that `Booster.save_model` wrote."""
    return Booster(open_lightgbm(path, manifest.name), manifest)


def open_xgboost(path: Path, name: str) -> Native:
    """Read a file of XGBoost. `name` names the model in messages. Raises `ModelRejected`."""
    xgboost = _library("xgboost", name)
    booster = xgboost.Booster(model_file=path)
    if "c" in (booster.feature_types or ()):
        raise _categories("xgboost", name)
    best = booster.attr("best_iteration")
    trees = (0, int(best) + 1) if best else (0, 0)

    def scores(values: NDArray[Any]) -> NDArray[Any]:
        matrix = xgboost.DMatrix(values, feature_names=booster.feature_names, feature_types=booster.feature_types)
        return np.asarray(booster.predict(matrix, iteration_range=trees))

    learner = json.loads(booster.save_config())["learner"]
    return Native(
        scores=scores,
        features=tuple(booster.feature_names or ()),
        width=booster.num_features(),
        objective=learner["objective"]["name"],
        targets=int(learner["learner_model_param"]["num_class"]),
    )


def open_lightgbm(path: Path, name: str) -> Native:
    """Read a file of LightGBM. `name` names the model in messages. Raises `ModelRejected`."""
    booster = _library("lightgbm", name).Booster(model_file=path)
    if booster.pandas_categorical:
        raise _categories("lightgbm", name)
    content = booster.dump_model(num_iteration=1)
    return Native(
        scores=booster.predict,
        features=tuple(booster.feature_name()),
        width=booster.num_feature(),
        objective=str(content.get("objective", "")).partition(" ")[0],
        targets=int(content.get("num_class", 1)),
    )


def _check(manifest: Manifest, native: Native, names: Sequence[str], columns: int) -> None:
    problems = [
        f"input {spec.name!r} is {spec.datatype}, and a booster takes numbers"
        for spec in manifest.inputs
        if spec.datatype == "BYTES"
    ]
    if columns != native.width:
        absent = sorted(set(native.features) - set(names))
        problems.append(
            f"it has {columns} columns, the booster takes {native.width}" + (f": {absent[:10]}" if absent else "")
        )
    known = OUTPUTS if manifest.classes is not None else OUTPUTS[:1]
    problems += [
        f"output {spec.name!r} is none of {', '.join(known)}" for spec in manifest.outputs if spec.name not in known
    ]
    if manifest.classes is not None and not native.classes:
        problems.append(f"it has `classes`, and the objective {native.objective!r} gives no probability for each class")
    if problems:
        raise ModelRejected(
            f"the manifest does not fit the {manifest.format} model {manifest.name!r}",
            why="; ".join(problems),
            fix="correct the model's manifest.json: see docs/serving.md",
        )


def _library(library: str, name: str) -> Any:
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ModelRejected(
            f"the model {name!r} is a file of {library}, and the runtime has no {library}",
            why=str(error),
            fix=f"add {library} to the model's locked requirements",
        ) from error


def _categories(library: str, name: str) -> ModelRejected:
    return ModelRejected(
        f"the {library} model {name!r} was trained on pandas' categories",
        why="a request has numbers and texts",
        fix="train on numbers, such as those of an OrdinalEncoder in the same pipeline, or write a predictor class",
    )
