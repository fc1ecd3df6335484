"""Models' answers to labelled rows, in the form that the metrics read.

Answers come as tensors and labels from a file. Here both become class numbers or values; an answer or a label that
cannot is an error that names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Manifest, class_name
from gitops_ml.core.text import clean_line, first_line
from gitops_ml.core.verification.applications import completed
from gitops_ml.core.verification.holdout_metrics import Metric, check_metric
from gitops_ml.core.verification.probe_result import Outputs
from gitops_ml.core.verification.statistics.metrics import LabelledAnswers
from gitops_ml.errors import InputError, ModelRejected


@dataclass(frozen=True)
class LabelledRows:
    """Labels, groups and times of n rows, each of shape (n,). Times are in UTC.

    Without `groups`, rows are resampled one by one. Without `times`, an overlap with the training rows goes unseen.
    """

    labels: NDArray[Any]
    groups: NDArray[Any] | None = None
    times: NDArray[np.datetime64] | None = None


@dataclass(frozen=True)
class Answers:
    """One model's answers to all rows: `predicted` of shape (n,), `probability` of shape (n, classes) or None."""

    predicted: NDArray[Any]
    probability: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class NoAnswer:
    """Why a model gave no answers. `refused`: the model itself answered with an error."""

    reason: str
    refused: bool = False


@dataclass(frozen=True)
class ModelAnswers:
    """One model in a comparison: what it answered, and the manifest that says how to read the answers."""

    manifest: Manifest
    answers: Answers | NoAnswer


def read_outputs(outputs: Sequence[Outputs], row_counts: Sequence[int], manifest: Manifest) -> Answers | NoAnswer:
    """The answers in a probe's outputs, or why there are none.

    Args:
        row_counts: how many rows each request had, where an application was asked through a mapping; else empty.
    """
    try:
        if row_counts:
            outputs = [completed(each, rows, manifest) for each, rows in zip(outputs, row_counts, strict=True)]
        return answers_of(outputs, manifest)
    except (InputError, ModelRejected) as error:
        return NoAnswer(first_line(error), refused=True)
    except (ValueError, TypeError, OverflowError) as error:  # numpy's words for rows of unequal length, or for texts
        return NoAnswer(clean_line(f"its outputs are not numbers: {error}"), refused=True)


def answers_of(outputs: Sequence[Mapping[str, Any]], manifest: Manifest) -> Answers:
    """Read the answers in a probe's outputs. Raises `InputError` if `predict` is missing or a shape is wrong.

    Args:
        outputs: for each request body, in the order of the rows, its tensors by name; flat or nested.
    """
    missing = [number for number, output in enumerate(outputs) if "predict" not in output]
    if missing or not outputs:
        where = f"answer {missing[0] + 1} of {len(outputs)}" if missing else "no answer at all"
        raise InputError("the model gives no `predict` output", why=where, fix="list it in the manifest's outputs")
    predicted = np.concatenate([np.asarray(output["predict"]).reshape(-1) for output in outputs])
    if not all("predict_proba" in output for output in outputs):
        return Answers(predicted)
    flat = np.concatenate([np.asarray(output["predict_proba"], dtype=np.float64).ravel() for output in outputs])
    classes = len(manifest.classes or ()) or 1
    if flat.size != len(predicted) * classes:
        raise InputError(
            f"`predict_proba` holds {flat.size} numbers for {len(predicted)} rows",
            why=f"the manifest lists {classes} classes",
            fix="correct it or train again, then gitops-ml check",
        )
    return Answers(predicted, flat.reshape(-1, classes))


def sample_of(answers: Answers, rows: LabelledRows, manifest: Manifest, metric: Metric) -> LabelledAnswers:
    """Convert answers and labels for a metric. Raises `InputError` if they cannot be converted."""
    count = len(rows.labels)
    if len(answers.predicted) != count:
        raise InputError(
            f"`predict` of the model {manifest.name!r} gives {len(answers.predicted):,} values for {count:,} rows",
            why="a metric compares one value a row with the label",
            fix="serve a model whose `predict` has shape [-1], or remove verify.holdout",
        )
    classes = manifest.classes or ()
    check_metric(metric, manifest.task, len(classes), answers.probability is not None)
    if manifest.task == "regression":
        truth, predicted = _numbers(rows.labels, "labels"), _numbers(answers.predicted, "answers")
        return LabelledAnswers(truth, predicted)
    if answers.probability is not None:
        broken = int((~np.isfinite(answers.probability)).any(axis=1).sum())
        if broken:
            raise InputError(f"{broken} of {count} answers are not numbers")
    number = {class_name(value): index for index, value in enumerate(classes)}
    positive = manifest.positive
    return LabelledAnswers(
        _class_numbers(rows.labels, number, "labels"),
        _class_numbers(answers.predicted, number, "answers"),
        answers.probability,
        len(classes),
        None if positive is None else number[class_name(positive)],
    )


def _class_numbers(values: NDArray[Any], number: dict[str, int], what: str) -> NDArray[np.float64]:
    distinct, inverse = np.unique(values, return_inverse=True)
    unknown = [class_name(value) for value in distinct if class_name(value) not in number]
    if unknown:
        raise InputError(f"the {what} hold {', '.join(unknown[:3])}, which the model has no class for")
    return np.array([number[class_name(value)] for value in distinct], dtype=np.float64)[inverse.reshape(-1)]


def _numbers(values: NDArray[Any], what: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {what} are not numbers", why=str(error)) from error
    broken = int((~np.isfinite(numbers)).sum())
    if broken:
        raise InputError(f"{broken} of {len(numbers)} {what} are not numbers")
    return numbers
