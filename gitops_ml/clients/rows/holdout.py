"""Held-out rows from a parquet or CSV file: as requests to a model, and as labels, groups and times to judge by.

The only reader of held-out data. Arrow columns become the tensors that a model's manifest names; a data frame in
between would cost its import, and would turn a missing whole number into a fraction. CSV has no types, so the
manifest's count.

Whoever does not always judge imports this module inside a function: pyarrow takes a third of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import compute, parquet

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.clients.rows import csv_text
from gitops_ml.core.declaration.checks import Holdout
from gitops_ml.core.verification.answers import LabelledRows
from gitops_ml.core.verification.judgeable import label_of
from gitops_ml.core.verification.statistics.noninferiority import seed_of
from gitops_ml.errors import InputError
from gitops_ml.suggest import nearest

BATCH_ROWS = 2000
"""Rows in one request: enough that HTTP costs nothing, few enough that other requests get their turn."""

_ARROW_TYPES = {
    "BOOL": "bool_",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float64",
    "FP32": "float64",
    "FP64": "float64",
    "BYTES": "string",
}


@dataclass(frozen=True)
class Rows:
    """Held-out rows of `filename`. `of`: how many rows the file holds, where fewer were drawn."""

    filename: str
    table: pa.Table
    of: int

    def __len__(self) -> int:
        return int(self.table.num_rows)


def load_rows(data: bytes, filename: str, limit: int | None = None) -> Rows:
    """Read parquet or CSV, by the file's name.

    Args:
        limit: rows to draw at most; the same bytes give the same rows.

    Raises:
        InputError: another format, bytes that cannot be read, or no rows.
    """
    try:
        if filename.lower().endswith((".parquet", ".pq")):
            table = parquet.read_table(pa.BufferReader(data))
        elif filename.lower().endswith(".csv"):
            table = csv_text.read_csv(data)
        else:
            raise InputError(f"held-out data `{filename}` cannot be read", fix="write it as .parquet or .csv")
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"held-out data `{filename}` cannot be read", why=str(error), fix="dvc repro") from error
    count = int(table.num_rows)
    if not count:
        raise InputError(f"held-out data `{filename}` holds no rows", fix="dvc repro")
    if limit is not None and limit < count:
        chosen = np.random.default_rng(seed_of(data)).choice(count, size=limit, replace=False)
        table = table.take(np.sort(chosen))
    return Rows(filename, table, count)


def requests(rows: Rows, manifest: Manifest, batch_rows: int = BATCH_ROWS) -> list[dict[str, Any]]:
    """Make Open Inference Protocol v2 requests for all rows, in order, `batch_rows` at a time. NaN becomes null.

    Raises `InputError` that names every missing column, or the column whose values do not fit the datatype.
    """
    names = rows.table.column_names
    missing = [tensor.name for tensor in manifest.inputs if tensor.name not in names]
    if missing:
        raise InputError(
            f"`{rows.filename}` has no column {', '.join(f'`{name}`' for name in missing)}",
            why=f"the model takes {'it' if len(missing) == 1 else 'them'} as input{_near(missing[0], names)}",
            fix="write the column into the held-out data, or pin data that has it",
        )
    columns = [(tensor, tensor_column(rows, tensor)) for tensor in manifest.inputs]
    bodies = []
    for start in range(0, len(rows), batch_rows):
        count = min(batch_rows, len(rows) - start)
        inputs = [_tensor(tensor, column.slice(start, count), count) for tensor, column in columns]
        bodies.append({"inputs": inputs})
    return bodies


def labelled(rows: Rows, spec: Holdout, manifest: Manifest) -> LabelledRows:
    """Read the true labels, groups and times of the rows.

    The label's column is the spec's, else the manifest's target. Times come from the column that orders the model's
    training rows, if the data has it.

    Raises `InputError` for a column that is unknown or missing, or that holds missing values.
    """
    label = label_of(spec, manifest)
    time = manifest.training.time_column if manifest.training else None
    return LabelledRows(
        labels=_values(rows, label, "label", _label_type(manifest)),
        groups=groups_of(rows, spec.group) if spec.group else None,
        times=_times(rows, time) if time in rows.table.column_names else None,
    )


def groups_of(rows: Rows, column: str) -> NDArray[Any]:
    """Each row's group. Raises `InputError` for a column that is missing or holds missing values."""
    return _values(rows, column, "group")


def _near(name: str, names: Sequence[str]) -> str:
    match = nearest(name, names)
    return f"; the nearest is `{match}`" if match else ""


def tensor_column(rows: Rows, tensor: Tensor) -> pa.Array:
    """One column in the tensor's datatype, null for every missing value. A matrix stays one list for each row.

    Raises `InputError` for values that do not fit the datatype.
    """
    column = _plain(_the_column(rows, tensor.name))
    kind = getattr(pa, _ARROW_TYPES.get(tensor.datatype, "string"))()
    nested = len(tensor.shape) > 1
    try:
        column = column.cast(pa.list_(kind)) if nested else _as_type(column, kind)
    except pa.ArrowException as error:
        raise InputError(
            f"column `{tensor.name}` of `{rows.filename}` does not fit the model's {tensor.datatype}",
            why=str(error).split("\n")[0],
            fix="pin held-out data that the model's own prepare stage wrote",
        ) from error
    if not nested:
        column = _plain(column)
    if column.null_count and not tensor.datatype.startswith("FP") and tensor.datatype != "BYTES":
        raise InputError(
            f"column `{tensor.name}` of `{rows.filename}` has {column.null_count} missing values",
            why=f"the model takes {tensor.datatype}, which cannot hold a missing value",
            fix="declare the input FP64, or drop these rows",
        )
    return column


def _the_column(rows: Rows, name: str) -> pa.Array:
    count = rows.table.column_names.count(name)
    if count > 1:
        raise InputError(
            f"`{rows.filename}` has {count} columns `{name}`",
            why="which of them is meant is unknown",
            fix="rename or drop the others",
        )
    return rows.table.column(name).combine_chunks()


def _as_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if kind == pa.string():
        # As the train stage writes a boolean that is a category: Arrow would write `true`.
        return compute.if_else(column, "True", "False") if pa.types.is_boolean(column.type) else column.cast(kind)
    return csv_text.values(column, kind) if csv_text.is_text(column) else column.cast(kind)


def _plain(column: pa.Array) -> pa.Array:
    """The values of a dictionary's codes, and null for NaN and infinity."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if not pa.types.is_floating(column.type):
        return column
    return compute.if_else(compute.is_finite(column), column, pa.scalar(None, column.type))


def _tensor(tensor: Tensor, column: pa.Array, count: int) -> dict[str, Any]:
    flat = column.flatten() if pa.types.is_list(column.type) else column
    return {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": [count, *tensor.shape[1:]],
        "data": flat.to_pylist(),
    }


def _label_type(manifest: Manifest) -> pa.DataType | None:
    """What labels are where a file has them as text: numbers, or None for names of classes."""
    if manifest.task == "regression":
        return pa.float64()
    classes = manifest.classes or ("",)
    if any(isinstance(label, str) for label in classes):
        return None
    return pa.float64() if any(isinstance(label, float) for label in classes) else pa.int64()


def _values(rows: Rows, name: str, what: str, kind: pa.DataType | None = None) -> NDArray[Any]:
    """The values of a column; text is read as `kind`, if given."""
    names = rows.table.column_names
    if name not in names:
        raise InputError(
            f"`{rows.filename}` has no column `{name}`",
            why=f"the declaration names it as the {what}{_near(name, names)}",
            fix=f"correct `{what}:` under `holdout:`",
        )
    column = _plain(_the_column(rows, name))
    if kind is not None and csv_text.is_text(column):
        try:
            column = csv_text.values(column, kind)
        except pa.ArrowException as error:
            raise InputError(
                f"column `{name}` of `{rows.filename}` does not fit the model's {what}s, which are numbers",
                why=str(error).split("\n")[0],
                fix="pin held-out data with the labels that the model was trained on",
            ) from error
    if column.null_count:
        raise InputError(
            f"column `{name}` of `{rows.filename}` has {column.null_count} missing values",
            why=f"every row needs its {what}",
            fix="drop these rows from the held-out data",
        )
    return np.asarray(column.to_pylist())


def _times(rows: Rows, name: str | None) -> NDArray[np.datetime64]:
    column = _the_column(rows, str(name))
    try:
        if csv_text.is_text(column):
            column = column.cast(pa.timestamp("us", tz="UTC")) if _has_offset(column) else column
        column = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None)))
        times: NDArray[np.datetime64] = column.to_numpy(zero_copy_only=False).astype("datetime64[us]")
    except pa.ArrowException as error:
        raise InputError(
            f"column `{name}` of `{rows.filename}` holds no times",
            why=str(error).split("\n")[0],
            fix="store it as a timestamp, or as text such as 2013-09-30T23:00:00Z",
        ) from error
    return times


def _has_offset(column: pa.Array) -> bool:
    """Whether times in text carry an offset from UTC: Arrow reads those with and those without one differently."""
    first = next((value for value in column.to_pylist() if value), "")
    return first.endswith("Z") or "+" in first or "-" in first[19:]
