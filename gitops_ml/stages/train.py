"""Fits one scikit-learn Pipeline to the prepared rows and writes an artifact that can be served.

All preprocessing is inside the Pipeline: a client sends the columns as they are, and needs no copy of the preprocessing
that could drift from it.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from gitops_ml.artifacts.manifest import ClassLabel, class_name
from gitops_ml.errors import InputError
from gitops_ml.saving.save import save_model
from gitops_ml.stages.artifact import check_requirements, model_inputs
from gitops_ml.stages.columns import times_of
from gitops_ml.stages.command import run_stage
from gitops_ml.stages.params import Component, Train

CATEGORICAL = "$categorical"


def build(component: Component, where: str, categorical: int = 0) -> Any:
    """Make an unfitted estimator or transformer.

    Args:
        component: its import path and parameters.
        where: its place in params.yaml, for error messages.
        categorical: how many of its input columns are categorical; these come first.

    Raises:
        InputError: the path cannot be imported, or takes other parameters.
    """
    module, _, name = component.path.rpartition(".")
    try:
        factory = getattr(importlib.import_module(module), name)
        return factory(
            **{
                key: list(range(categorical)) if value == CATEGORICAL else value
                for key, value in component.params.items()
            }
        )
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise InputError(
            f"{where} cannot be built: {component.path}", why=str(error), fix=f"edit {where} in params.yaml"
        ) from error


def pipeline(params: Train) -> Any:
    """Make an unfitted Pipeline: columns by kind, the categorical ones first, then the estimator."""
    unknown = sorted(set(params.categorical) - set(params.features))
    if unknown:
        raise InputError(
            f"train.categorical names {', '.join(unknown)}, which is not a feature", fix="edit params.yaml"
        )
    numeric = [name for name in params.features if name not in params.categorical]
    encode = build(params.encode, "train.encode") if params.encode else "passthrough"
    scale = build(params.scale, "train.scale") if params.scale else "passthrough"
    columns = ColumnTransformer([("categorical", encode, params.categorical), ("numeric", scale, numeric)])
    estimator = build(params.estimator, "train.estimator", len(params.categorical))
    return Pipeline([("columns", columns), ("estimator", estimator)])


def add_noise(labels: pd.Series[Any], fraction: float, seed: int) -> pd.Series[Any]:
    """Shuffle a fraction of the labels among themselves: many become wrong, and each class stays as frequent."""
    if not 0 <= fraction <= 1:
        raise InputError(
            f"train.label_noise is {fraction}", why="it must be a fraction", fix="write 0 to 1 in params.yaml"
        )
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(rng.random(len(labels)) < fraction)
    values = labels.to_numpy(copy=True)
    values[chosen] = values[rng.permutation(chosen)]
    return pd.Series(values, index=labels.index, name=labels.name)


def train(params: Train, rows: pd.DataFrame, requirements: Path, out: Path) -> str:
    """Fit the model and write its artifact; the line to print.

    Args:
        requirements: the lock with hashes of what serves the model.

    Raises:
        InputError: rows, parameters and requirements do not match.
    """
    check_requirements(requirements.read_text(), params.estimator.path)
    model = pipeline(params)
    missing = {params.target, *([params.time_column] if params.time_column else [])} - set(rows.columns)
    if missing:
        raise InputError(
            f"the training rows have no column {', '.join(sorted(missing))}",
            fix="edit prepare or train in params.yaml",
        )
    inputs = model_inputs(rows, params.features, params.categorical)
    labels = rows[params.target]
    if labels.isna().any():
        raise InputError(
            f"{int(labels.isna().sum()):,} training rows have no {params.target!r}",
            why="a model learns from rows whose answer is known",
            fix=f"add {params.target}.notna() to prepare.filters in params.yaml",
        )
    if params.label_noise:
        labels = add_noise(labels, params.label_noise, params.seed)
    try:
        with threadpool_limits(params.threads):
            model.fit(inputs, labels.to_numpy())
    except (ValueError, TypeError) as error:
        raise InputError(
            f"{params.estimator.path} cannot be fitted", why=str(error), fix="edit train in params.yaml"
        ) from error
    if params.task == "classification":
        _check_positive(params, model.classes_.tolist())
    saved = save_model(
        model,
        out,
        inputs,
        labels,
        name=params.name,
        task=params.task,
        target=params.target,
        positive=params.positive if params.task == "classification" else None,
        times=times_of(rows, params.time_column) if params.time_column else None,
        requirements=requirements,
        trusted_types=params.trusted_types,
        allow_pickle=False,
    )
    noise = f", with label noise {params.label_noise}" if params.label_noise else ""
    return (
        f"{params.name} from {len(rows):,} rows and {len(params.features)} features{noise}, {saved.size / 1024:.0f} KiB"
    )


def _check_positive(params: Train, classes: list[ClassLabel]) -> None:
    positive = params.positive
    if positive is None or class_name(positive) in map(class_name, classes):
        return
    raise InputError(
        f"train.positive is {positive!r}, which is no class of {params.target!r}",
        why=f"its classes are {', '.join(map(repr, classes[:20]))}"
        + ("; YAML reads yes, no, on and off without quotes as true or false" if isinstance(positive, bool) else ""),
        fix=f"write one of them, such as positive: {json.dumps(classes[-1])}, in params.yaml",
    )


def _stage(params: Train, paths: argparse.Namespace) -> str:
    try:
        return train(params, pd.read_parquet(paths.train), paths.requirements, paths.model)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be read", why=str(error), fix="dvc repro prepare") from error


if __name__ == "__main__":
    sys.exit(
        run_stage(
            _stage,
            Train,
            {"train": "data/train.parquet", "requirements": "requirements/serving.txt", "model": "models/model"},
        )
    )
