"""What a manifest says of a fitted estimator, an example and histograms, from rows and from the answers to them."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gitops_ml.artifacts.description import Task, answers, class_labels, output_tensors, task_of
from gitops_ml.artifacts.inputs import incomplete, inference_request, input_tensors, missing_texts, pick
from gitops_ml.artifacts.manifest import ClassLabel, Manifest, Target, Training, class_name
from gitops_ml.artifacts.reference import CATEGORIES, reference
from gitops_ml.errors import InputError

SAMPLED = 32
"""So many rows are asked for, and as many more with missing values."""

TOLERANCE = 1e-6
"""Relative to the largest value: sums over rows and columns in another order are rounded differently."""


@dataclass(frozen=True)
class Given:
    """What a person says of a model, and the estimator does not know."""

    name: str
    task: Task | None = None
    target: str | None = None
    positive: ClassLabel | None = None
    training: Training | None = None
    outputs: Sequence[str] | None = None


@dataclass(frozen=True)
class EstimatorFacts:
    """What was seen of a model.

    Args:
        manifest: without format, file and trusted types.
        example: the content of example.json: a request for one complete row.
        reference: the content of reference.json; None for rows without names of columns.
        sample: rows for a rehearsal, the one of the example first.
    """

    manifest: Manifest
    example: bytes
    reference: bytes | None
    sample: Any


def facts_of(model: Any, rows: Any, given: Given) -> EstimatorFacts:
    """Ask a fitted estimator about itself and for answers to some of the rows.

    Args:
        rows: in the order of columns in which the model was fitted to them.

    Raises:
        InputError: the model cannot answer the rows, or answers differently when it is asked again.
    """
    count = rows.shape[0] if hasattr(rows, "shape") else len(rows)
    tensors = input_tensors(rows)
    missing = incomplete(rows)
    whole = int(np.argmin(missing))  # 0 if no row is complete
    positions = sorted({whole, *range(min(SAMPLED, count)), *np.flatnonzero(missing)[:SAMPLED].tolist()})
    positions.sort(key=lambda position: position != whole)
    sample = pick(rows, positions)
    values = _steady_answers(model, sample, given.outputs)
    task = given.task or task_of(model)
    classes = class_labels(model) if task == "classification" else None
    manifest = Manifest(
        schema=1,
        name=given.name,
        python=".".join(platform.python_version_tuple()[:2]),
        task=task,
        classes=classes,
        inputs=tensors,
        outputs=output_tensors(values),
        missing_texts=missing_texts(rows),
        training=given.training,
        target=_target(given, classes),
    )
    histograms = None
    if isinstance(rows, pd.DataFrame):
        texts = [tensor.name for tensor in tensors if tensor.datatype == "BYTES"]
        histograms = as_json(_histograms(rows, texts))
    return EstimatorFacts(manifest, as_json(inference_request(pick(rows, [whole]), tensors)), histograms, sample)


def same(left: Any, right: Any) -> bool:
    """Whether two answers are equal, with missing values at the same places; floats may differ by `TOLERANCE`."""
    left, right = np.asarray(left), np.asarray(right)
    if left.shape != right.shape:
        return False
    if left.dtype.kind == "f" and right.dtype.kind == "f":
        scale = float(np.abs(right[np.isfinite(right)]).max(initial=0))
        return bool(np.allclose(left, right, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True))
    return bool(np.array_equal(left.astype(object), right.astype(object)))


def unsteady(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """The outputs that differ between two answers to the same rows."""
    return [name for name in first if not same(first[name], second[name])]


def as_json(content: Any) -> bytes:
    """The text of a JSON file that people read too."""
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def _steady_answers(model: Any, rows: Any, outputs: Sequence[str] | None) -> dict[str, Any]:
    """What the model answers. Raises `InputError` if it answers differently when it is asked again."""
    values = answers(model, rows, outputs)
    moved = unsteady(values, answers(model, rows, outputs))
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


def _target(given: Given, classes: tuple[ClassLabel, ...] | None) -> Target | None:
    positive = given.positive
    if positive is not None and class_name(positive) not in map(class_name, classes or ()):
        listed = ", ".join(map(repr, (classes or ())[:20])) or "none"
        raise InputError(
            f"`positive` is {positive!r}, which is no class of the model",
            why=f"its classes are {listed}",
            fix="name one of them",
        )
    if given.target is None:
        if positive is not None:
            raise InputError("`positive` is given without the label's name", fix="give `target`, the label's column")
        return None
    return Target(name=given.target, positive=positive)
