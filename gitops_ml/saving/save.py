"""Writes a whole model artifact in one call: model file, manifest, example, histograms and locked requirements.

Nothing is written before the stored model has answered rows of training as the model server will ask for them.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gitops_ml.artifacts.description import Task, answers, class_labels, in_fitted_order, output_tensors, task_of
from gitops_ml.artifacts.inputs import incomplete, inference_request, input_tensors, missing_texts, pick
from gitops_ml.artifacts.manifest import EXAMPLE, ClassLabel, Manifest, Target, Training, class_name
from gitops_ml.artifacts.model_files import REFERENCE, REQUIREMENTS
from gitops_ml.artifacts.reference import CATEGORIES, reference
from gitops_ml.errors import InputError
from gitops_ml.saving.imports import distributions, pickled, require_published
from gitops_ml.saving.lock import lock, require_lock
from gitops_ml.saving.rehearsal import same
from gitops_ml.saving.storing import ModelInMemory, staged, store

SAMPLED = 32
"""So many rows are rehearsed, and as many more with missing values."""


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
    tensors = input_tensors(rows)
    missing = incomplete(rows)
    whole = int(np.argmin(missing))  # 0 if no row is complete
    positions = sorted({whole, *range(min(SAMPLED, count)), *np.flatnonzero(missing)[:SAMPLED].tolist()})
    positions.sort(key=lambda position: position != whole)
    sample = pick(rows, positions)
    values = _steady_answers(model, sample, outputs)
    data, names = pickled(model)
    needed = distributions(names) | _always(rows)

    kind = task or task_of(model)
    classes = class_labels(model) if kind == "classification" else None
    manifest = Manifest(
        schema=1,
        name=name,
        python=".".join(platform.python_version_tuple()[:2]),
        task=kind,
        classes=classes,
        inputs=tensors,
        outputs=output_tensors(values),
        missing_texts=missing_texts(rows),
        training=_training(count, times),
        target=_target(target, y, positive, classes),
    )
    files = {EXAMPLE: _json(inference_request(pick(rows, [whole]), tensors))}
    if isinstance(rows, pd.DataFrame):
        files[REFERENCE] = _json(_histograms(rows, [tensor.name for tensor in tensors if tensor.datatype == "BYTES"]))
    with staged(Path(path)) as folder:
        for file, content in files.items():
            (folder / file).write_bytes(content)
        stored = store(
            folder,
            ModelInMemory(model, data, sample, lambda part: answers(model, part, list(values))),
            manifest,
            trusted_types,
            allow_pickle=allow_pickle,
        )
        (folder / REQUIREMENTS).write_text(_locked(requirements, needed, stored.manifest.format))
    notes = stored.notes
    left_out = {"predict_proba"} - set(values) if outputs is None and hasattr(model, "predict_proba") else set()
    if left_out:
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


def _steady_answers(model: Any, rows: Any, outputs: Sequence[str] | None) -> dict[str, Any]:
    """What the model answers. Raises `InputError` if it answers differently when it is asked again."""
    values = answers(model, rows, outputs)
    again = answers(model, rows, outputs)
    moved = [name for name in values if not same(values[name], again[name])]
    if moved:
        raise InputError(
            f"{', '.join(moved)} of the model answers differently at each call",
            why="a stored model cannot be compared with it, and neither can a new version",
            fix="set the random_state of what is random at prediction",
        )
    return values


def _histograms(rows: pd.DataFrame, texts: list[str]) -> dict[str, Any]:
    """`reference` without columns of free text, whose most frequent values would be rows of the data."""
    free = [name for name in texts if rows[name].nunique() > max(CATEGORIES, len(rows) // 2)]
    return reference(rows.drop(columns=free), [name for name in texts if name not in free])


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


def _target(
    target: str | None, y: Any, positive: ClassLabel | None, classes: tuple[ClassLabel, ...] | None
) -> Target | None:
    column = target if target is not None else getattr(y, "name", None)
    if positive is not None and class_name(positive) not in map(class_name, classes or ()):
        listed = ", ".join(map(repr, (classes or ())[:20])) or "none"
        raise InputError(
            f"`positive` is {positive!r}, which is no class of the model",
            why=f"its classes are {listed}",
            fix="name one of them",
        )
    if not isinstance(column, str):
        if positive is not None:
            raise InputError("`positive` is given without the label's name", fix="give `target`, the label's column")
        return None
    return Target(name=column, positive=positive)


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()
