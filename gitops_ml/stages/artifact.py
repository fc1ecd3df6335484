"""Writes and reads the model artifact: a folder that holds everything that serving the model needs."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
from skops.io.exceptions import UnsupportedTypeException, UntrustedTypesFoundException

from gitops_ml.artifacts.manifest import (
    EXAMPLE,
    MANIFEST,
    ClassLabel,
    Manifest,
    Target,
    Tensor,
    Training,
    parse_manifest,
)
from gitops_ml.artifacts.model_files import REFERENCE, REQUIREMENTS
from gitops_ml.artifacts.requirements import folded, pins
from gitops_ml.errors import InputError, ModelRejected
from gitops_ml.stages.columns import as_text, times_of
from gitops_ml.stages.params import Train
from gitops_ml.stages.reference import reference
from gitops_ml.stages.skops_file import load_skops, skops_bytes, untrusted_types

MODEL = "model.skops"

PINNED = ("joblib", "numpy", "pandas", "scikit-learn", "scipy", "skops")
"""Distributions whose version can change a model's answers: serving must have the versions of training."""


def model_inputs(frame: pd.DataFrame, features: list[str], categorical: list[str]) -> pd.DataFrame:
    """Make the model's inputs as the server makes them: float64 with NaN, text as objects with None where missing.

    Raises:
        InputError: a feature is missing, or a numeric feature holds text.
    """
    missing = sorted(set(features) - set(frame.columns))
    if missing:
        raise InputError(
            f"the rows have no column {', '.join(missing)}", fix="add it to prepare.features in params.yaml"
        )
    columns: dict[str, Any] = {}
    for name in features:
        if name in categorical:
            # A request carries categories as text, whatever type a table has for a code.
            columns[name] = as_text(frame[name]).to_numpy(dtype=object)
            continue
        try:
            columns[name] = frame[name].astype("float64")
        except (ValueError, TypeError) as error:
            raise InputError(
                f"feature {name!r} is not a number", why=str(error), fix="add it to train.categorical in params.yaml"
            ) from error
    return pd.DataFrame(columns, index=frame.index)


def make_manifest(params: Train, model: Any, rows: pd.DataFrame, trusted_types: list[str]) -> Manifest:
    """The manifest of a fitted model: how to load it, its tensors, and its training rows."""
    classes = class_labels(model) if params.task == "classification" else None
    times = times_of(rows, params.time_column) if params.time_column else None
    return Manifest(
        schema=1,
        name=params.name,
        format="skops",
        file=MODEL,
        python=".".join(platform.python_version_tuple()[:2]),
        task=params.task,
        classes=None if classes is None else tuple(classes),
        inputs=tuple(Tensor(name=name, datatype=_datatype(name, params.categorical)) for name in params.features),
        outputs=_outputs(model, classes),
        trusted_types=tuple(trusted_types),
        training=Training(
            time_column=params.time_column,
            from_=None if times is None else times.min().isoformat(),
            to=None if times is None else times.max().isoformat(),
            rows=len(rows),
        ),
        target=Target(name=params.target, positive=params.positive),
    )


def class_labels(model: Any) -> list[ClassLabel]:
    """The classes of a fitted classifier as plain values; text and booleans too."""
    return [value.item() if isinstance(value, np.generic) else value for value in model.classes_]


def _outputs(model: Any, classes: list[Any] | None) -> tuple[Tensor, ...]:
    if classes is None:
        return (Tensor(name="predict", datatype="FP64"),)
    datatypes = {str: "BYTES", bool: "BOOL", int: "INT64"}
    datatype = datatypes.get(type(classes[0]), "FP64")
    labels = Tensor(name="predict", datatype=datatype)
    if not hasattr(model, "predict_proba"):
        return (labels,)
    return labels, Tensor(name="predict_proba", datatype="FP64", shape=(-1, len(classes)))


def _datatype(feature: str, categorical: Collection[str]) -> str:
    return "BYTES" if feature in categorical else "FP64"


def example_request(inputs: pd.DataFrame, categorical: list[str]) -> dict[str, Any]:
    """Make an Open Inference Protocol v2 request for the first row in which nothing is missing."""
    complete = inputs[inputs.notna().all(axis=1)]
    row = (complete if len(complete) else inputs).iloc[0]
    return {
        "inputs": [
            {
                "name": name,
                "shape": [1],
                "datatype": _datatype(name, categorical),
                "data": [None if pd.isna(row[name]) else row[name]],
            }
            for name in inputs.columns
        ]
    }


def check_requirements(requirements: str, estimator: str) -> None:
    """Check that a model will be served by the versions that trained it.

    Args:
        requirements: a requirements file with `name==version` lines.
        estimator: import path of the estimator, whose distribution must be pinned.

    Raises:
        InputError: a distribution is not pinned, or at another version than the installed one.
    """
    pinned = pins(requirements)
    owners = importlib.metadata.packages_distributions().get(estimator.partition(".")[0], [])
    for name in sorted({folded(owner) for owner in owners} - set(pinned)):
        raise InputError(
            f"the serving requirements do not pin {name}",
            why=f"{estimator} comes from it, and the model server needs it to load the model",
            fix="add it to requirements/serving.in and lock again",
        )
    wrong = [
        f"{name} {importlib.metadata.version(name)} is installed, {pinned[name]} is pinned"
        for name in PINNED
        if name in pinned and importlib.metadata.version(name) != pinned[name]
    ]
    if wrong:
        raise InputError(
            "the model would be served by other versions than those that train it",
            why="; ".join(wrong),
            fix="pip install -r requirements/serving.txt",
        )


def write_artifact(
    params: Train, model: Any, rows: pd.DataFrame, inputs: pd.DataFrame, requirements: str, out: Path
) -> int:
    """Write the artifact's folder in place of what is there.

    Args:
        model: the fitted pipeline.
        rows: the training rows.
        inputs: their features as the model takes them.
        requirements: text of the hash-locked serving requirements.
        out: the folder.

    Returns:
        the size of the stored model in bytes.

    Raises:
        InputError: the model holds types that are not reviewed, or that skops cannot store.
    """
    try:
        data = skops_bytes(model)
    except (UnsupportedTypeException, TypeError) as error:
        raise InputError(
            f"{params.estimator.path} cannot be stored as skops", why=str(error), fix="choose another estimator"
        ) from error
    extra = untrusted_types(data)
    unreviewed = sorted(extra - set(params.trusted_types))
    if unreviewed:
        raise InputError(
            f"the model holds types that nobody has reviewed: {', '.join(unreviewed)}",
            why="loading them may run code, so a person must look at them once",
            fix="review them, then list them under train.trusted_types in params.yaml",
        )
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    (out / MODEL).write_bytes(data)
    (out / REQUIREMENTS).write_text(requirements)
    _write_json(out / MANIFEST, msgspec.to_builtins(make_manifest(params, model, rows, sorted(extra))))
    _write_json(out / EXAMPLE, example_request(inputs, params.categorical))
    _write_json(out / REFERENCE, reference(inputs, params.categorical))
    return len(data)


def read_artifact(path: Path) -> tuple[Any, Manifest]:
    """Load the model of an artifact, with its manifest.

    Raises:
        InputError: the artifact cannot be read, or the model holds types that its manifest does not trust.
    """
    try:
        manifest = parse_manifest((path / MANIFEST).read_bytes())
        return load_skops(path / (manifest.file or MODEL), list(manifest.trusted_types)), manifest
    except (OSError, ValueError, ModelRejected, UntrustedTypesFoundException) as error:
        raise InputError(
            f"{path} does not hold a model that can be loaded", why=str(error), fix="dvc repro train"
        ) from error


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{value!r} cannot be written as JSON")

    path.write_text(json.dumps(content, indent=2, default=plain) + "\n")
