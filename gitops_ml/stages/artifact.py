"""What train and evaluate share about a model artifact: its inputs, its requirements, and how it is read."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pandas as pd
from skops.io.exceptions import UntrustedTypesFoundException

from gitops_ml.artifacts.manifest import MANIFEST, Manifest, parse_manifest
from gitops_ml.artifacts.requirements import folded, pins
from gitops_ml.artifacts.skops_file import load_skops
from gitops_ml.errors import InputError, ModelRejected
from gitops_ml.stages.columns import as_text

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


def read_artifact(path: Path) -> tuple[Any, Manifest]:
    """Load the model of an artifact, with its manifest.

    Raises:
        InputError: the artifact cannot be read, or the model holds types that its manifest does not trust.
    """
    try:
        manifest = parse_manifest((path / MANIFEST).read_bytes())
        return load_skops(path / str(manifest.file), list(manifest.trusted_types)), manifest
    except (OSError, ValueError, ModelRejected, UntrustedTypesFoundException) as error:
        raise InputError(
            f"{path} does not hold a model that can be loaded", why=str(error), fix="dvc repro train"
        ) from error
