"""Writes a whole model artifact in one call: model file, manifest, example, histograms and locked requirements.

Nothing is written before the stored model has answered rows of training as the model server will ask for them.
"""

from __future__ import annotations

import importlib.metadata
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gitops_ml.artifacts.description import Task, answers, in_fitted_order
from gitops_ml.artifacts.facts import Given, facts_of
from gitops_ml.artifacts.manifest import EXAMPLE, ClassLabel, Manifest, Training
from gitops_ml.artifacts.model_files import REFERENCE, REQUIREMENTS
from gitops_ml.errors import InputError
from gitops_ml.saving.imports import distributions, pickled, require_published
from gitops_ml.saving.lock import lock, require_lock
from gitops_ml.saving.storing import ModelInMemory, staged, store


@dataclass(frozen=True)
class SavedModel:
    """A written artifact. `notes` say what a person should know about it; `size` is that of the model file in bytes."""

    path: Path
    manifest: Manifest
    size: int
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        facts = f"{self.path}: {self.manifest.name}, {self.manifest.format}, {self.size / 1024:.0f} KiB"
        return "\n".join([facts, *(f"  note: {note}" for note in self.notes)])


def save_model(
    model: Any,
    path: str | Path,
    X: Any,  # noqa: N803 - scikit-learn's name
    y: Any = None,
    *,
    name: str,
    task: Task | None = None,
    target: str | None = None,
    positive: ClassLabel | None = None,
    times: Any = None,
    outputs: Sequence[str] | None = None,
    requirements: str | Path | None = None,
    trusted_types: Sequence[str] | None = None,
    allow_pickle: bool = True,
) -> SavedModel:
    """Write the artifact of a fitted estimator: a folder that holds all that serving it needs.

    The model is stored as skops where skops can store it and the stored model answers as the model in memory; else as a
    pickle, which a deployment serves only with `serve: {allow_pickle: true}`. Equal models give equal bytes.

    Args:
        model: a fitted estimator of scikit-learn, or of a library with the same interface.
        path: the folder. An artifact that is there is replaced.
        X: the rows of training: a DataFrame, a Series of texts, or an array of shape (rows, columns).
        y: their labels.
        name: the model's name, as under `artifacts:` in dvc.yaml.
        task: None asks the estimator.
        target: the label's column; None takes the name of `y`.
        positive: the positive class; None takes the second of two.
        times: a time for each row, such as a column of timestamps, so that held-out rows of the same time are noticed.
        outputs: methods that are served; None takes what the kind of estimator offers: `predict`, with
            `predict_proba` or `decision_function`, else `transform`.
        requirements: a lock with hashes, as a file. None locks what the model imports, at the installed versions.
        trusted_types: the reviewed types that a skops file of this model may hold beyond those of skops; others are an
            error. None writes all of them into the manifest, and notes them for a review.
        allow_pickle: False makes it an error when skops cannot store the model.

    Raises:
        InputError: the arguments contradict each other, a class of the model is in no distribution, the requirements
            cannot be locked, or the stored model would answer differently.
        ModelRejected: `requirements` is no lock.
    """
    count = X.shape[0] if hasattr(X, "shape") else len(X)
    _check_rows(count, y, times)
    nested = isinstance(X, list | tuple) and not isinstance(X[0], str)
    rows = in_fitted_order(model, np.asarray(X) if nested else X)
    column = target if target is not None else getattr(y, "name", None)
    facts = facts_of(
        model,
        rows,
        Given(
            name=name,
            task=task,
            target=column if isinstance(column, str) else None,
            positive=positive,
            training=_training(count, times),
            outputs=outputs,
        ),
    )
    served = [spec.name for spec in facts.manifest.outputs]
    data, names = pickled(model)
    needed = distributions(names) | _always(rows)
    with staged(Path(path)) as folder:
        (folder / EXAMPLE).write_bytes(facts.example)
        if facts.reference is not None:
            (folder / REFERENCE).write_bytes(facts.reference)
        stored = store(
            folder,
            ModelInMemory(model, data, facts.sample, lambda part: answers(model, part, served)),
            facts.manifest,
            trusted_types,
            allow_pickle=allow_pickle,
        )
        (folder / REQUIREMENTS).write_text(_locked(requirements, needed, stored.manifest.format))
    notes = stored.notes
    if outputs is None and hasattr(model, "predict_proba") and "predict_proba" not in served:
        notes = (*notes, "predict_proba is left out: it gives a list, with an array for each target")
    if stored.manifest.format == "joblib":
        warnings.warn(notes[0], stacklevel=2)
    return SavedModel(Path(path), stored.manifest, stored.size, notes)


def _check_rows(count: int, y: Any, times: Any) -> None:
    if not count:
        raise InputError("X has no rows", fix="give the rows that the model was fitted to")
    for name, values in (("y", y), ("times", times)):
        if values is not None and len(values) != count:
            raise InputError(
                f"{name} has {len(values):,} rows, and X has {count:,}",
                fix=f"give one value of {name} for each row of X",
            )


def _always(rows: Any) -> dict[str, str]:
    """What the server hands to every estimator, at the versions of the training."""
    names = ["numpy", "scikit-learn", *(["pandas"] if isinstance(rows, pd.DataFrame) else [])]
    return {name: importlib.metadata.version(name) for name in names}


def _locked(requirements: str | Path | None, needed: dict[str, str], model_format: str) -> str:
    pins = needed | ({"skops": importlib.metadata.version("skops")} if model_format == "skops" else {})
    if requirements is None:
        require_published(pins)
        return lock(pins)
    try:
        text = Path(requirements).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{requirements} cannot be read", why=str(error), fix="pass the path of a lock, or leave `requirements` out"
        ) from error
    require_lock(text, pins)
    return text


def _training(count: int, times: Any) -> Training:
    if times is None:
        return Training(rows=count)
    try:
        moments = pd.to_datetime(pd.Series(times), utc=True)
        first, last = moments.min(), moments.max()
    except (ValueError, TypeError) as error:
        raise InputError("`times` holds no times", why=str(error), fix="give ISO 8601 times, or timestamps") from error
    name = getattr(times, "name", None)
    return Training(
        time_column=name if isinstance(name, str) else None, from_=first.isoformat(), to=last.isoformat(), rows=count
    )
