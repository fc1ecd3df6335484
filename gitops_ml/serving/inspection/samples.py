"""Chooses, among rows of the repository's data files, those that a model takes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gitops_ml.artifacts.manifest import ClassLabel, class_name
from gitops_ml.errors import InputError

NAMED = 10
"""So many names are listed."""
ZEROS = 2
"""Rows of zeros that stand for data, where there is none."""


@dataclass(frozen=True)
class Sample:
    """Some rows of one data file. `columns` are the ones to take, in this order; None leaves that to the model."""

    name: str
    rows: pd.DataFrame
    columns: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Chosen:
    """Rows as the model takes them, and the sample that they come from; None for rows of zeros."""

    rows: Any
    sample: Sample | None
    used: tuple[str, ...] = ()


def read_samples(job: dict[str, Any]) -> list[Sample]:
    """The samples of a job; a column is `{"kind": …, "data": […]}`, with null for a missing value."""
    columns = tuple(job["columns"]) if job.get("columns") else None
    samples = []
    for sample in job["samples"]:
        frame = pd.DataFrame({name: _column(column) for name, column in sample["columns"].items()})
        samples.append(Sample(sample["name"], frame, columns))
    return samples


def _column(column: dict[str, Any]) -> pd.Series[Any]:
    data = [np.nan if value is None else value for value in column["data"]]
    numbers = {"float": "float64", "integer": "int64", "boolean": "bool"}
    if column["kind"] == "text" or (column["kind"] != "float" and any(value is None for value in column["data"])):
        return pd.Series(data, dtype=object if column["kind"] == "text" else "float64")
    return pd.Series(data, dtype=numbers[column["kind"]])


def by_name(names: Sequence[str], samples: Sequence[Sample], what: str) -> Chosen:
    """The columns `names` of the first sample that has them all, else zeros, which only a model of numbers takes.

    Raises:
        InputError: a file was chosen by a person, and lacks a column.
    """
    for sample in samples:
        if set(names) <= set(sample.rows.columns):
            return Chosen(sample.rows[list(names)], sample, tuple(names))
    _refuse_chosen(samples, f"{what} takes {_listed(names)}", names)
    return Chosen(pd.DataFrame(np.zeros((ZEROS, len(names))), columns=list(names)), None)


def texts(samples: Sequence[Sample], what: str, classes: Sequence[ClassLabel] | None) -> Chosen:
    """A column of texts; one whose values are all classes of the model is the label.

    Raises:
        InputError: no sample has exactly one such column, and nobody has named one.
    """
    for sample in samples:
        named = [name for name in sample.columns or () if name in sample.rows.columns]
        names = named or [
            name
            for name in _of_kind(sample.rows, "O")
            if not _may_be_label(sample.rows[name], classes, "classification")
        ]
        if len(names) == 1 and sample.rows[names[0]].dtype.kind == "O":
            return Chosen(sample.rows[names[0]].dropna(), sample, (names[0],))
    seen = "; ".join(f"{s.name} has the texts {_listed(_of_kind(s.rows, 'O')) or 'of no column'}" for s in samples[:3])
    raise InputError(
        f"{what} takes texts, and no data file has one column of texts",
        why=seen or "no data file was found",
        fix="name the file and the column: --sample FILE --columns COLUMN",
    )


def matrix(width: int, samples: Sequence[Sample], what: str) -> Chosen:
    """An array of `width` numbers for each row.

    Without names nothing but the number of columns can be compared, so only the columns that a person named, or a file
    that has nothing else, is taken; else zeros.

    Raises:
        InputError: a person named other columns.
    """
    for sample in samples:
        names = list(sample.columns or _of_kind(sample.rows, "biuf"))
        if len(names) == width and set(names) <= set(_of_kind(sample.rows, "biuf")):
            return Chosen(sample.rows[names].to_numpy(dtype=np.float64), sample, tuple(names))
    if samples and samples[0].columns:
        columns = samples[0].columns
        raise InputError(
            f"{what} takes {width} numbers, and --columns names {len(columns)}",
            why=f"{samples[0].name} has the numbers {_listed(_of_kind(samples[0].rows, 'biuf'))}",
            fix=f"name {width} of them, in the order of training: --columns A,B,…",
        )
    return Chosen(np.zeros((ZEROS, width)), None)


def guessed_target(chosen: Chosen, classes: Sequence[ClassLabel] | None, task: str) -> str | None:
    """The one column beside the inputs whose values are all classes of the model, or numbers for a regression."""
    if chosen.sample is None:
        return None
    rest = [name for name in chosen.sample.rows.columns if name not in chosen.used]
    fitting = [name for name in rest if _may_be_label(chosen.sample.rows[name], classes, task)]
    if task == "classification":
        return str(fitting[0]) if len(fitting) == 1 else None
    return str(rest[0]) if len(rest) == len(fitting) == 1 else None


def _may_be_label(column: pd.Series[Any], classes: Sequence[ClassLabel] | None, task: str) -> bool:
    values = {class_name(value) for value in column.dropna()}
    if task == "classification":
        return bool(values) and values <= set(map(class_name, classes or ()))
    return column.dtype.kind in "iuf" and bool(values)


def _refuse_chosen(samples: Sequence[Sample], what: str, names: Sequence[str]) -> None:
    if len(samples) == 1 and samples[0].columns is not None:
        lacking = [name for name in names if name not in samples[0].rows.columns]
        raise InputError(
            what, why=f"{samples[0].name} lacks {_listed(lacking)}", fix="name the data of the training: --sample FILE"
        )


def _of_kind(rows: pd.DataFrame, kinds: str) -> list[str]:
    return [str(name) for name in rows.columns if rows[name].dtype.kind in kinds]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return json.dumps(list(names[:NAMED]), ensure_ascii=False)[1:-1] + more
