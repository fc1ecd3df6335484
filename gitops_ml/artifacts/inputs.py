"""The rows that a model was fitted to, as named tensors and as a request of the inference protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.errors import InputError

MATRIX = "X"
"""Name of the one input of a model that was fitted to an array."""
TEXT = "text"
"""Name of the one input of a model that was fitted to texts without a name."""


def input_tensors(rows: Any) -> tuple[Tensor, ...]:
    """Describe rows as the tensors that a client sends: one for each column, or one for a whole array.

    Args:
        rows: a DataFrame, a Series or list of texts, or an array or sparse matrix of shape (rows, columns).

    Raises:
        InputError: a column holds something that the protocol lacks, such as times. Names every such column.
    """
    if isinstance(rows, pd.DataFrame):
        return _columns(rows)
    if isinstance(rows, pd.Series | list | tuple) or np.ndim(rows) == 1:
        column = rows if isinstance(rows, pd.Series) else pd.Series(list(rows), dtype=object)
        named = isinstance(rows, pd.Series) and isinstance(rows.name, str)
        tensor = Tensor(name=str(column.name) if named else TEXT, datatype=_datatype(column))
        if tensor.datatype != "BYTES":
            raise InputError(
                "the rows have one dimension and hold no texts",
                why="a model takes rows of columns, or texts",
                fix="give X the shape that the model was fitted to, such as X.to_frame() or X.reshape(-1, 1)",
            )
        return (tensor,)
    if np.ndim(rows) != 2:
        raise InputError(f"the rows have {np.ndim(rows)} dimensions", fix="give X the shape (rows, columns)")
    shape = (-1, int(rows.shape[1]))
    if rows.dtype.kind in "OUS":
        kinds = sorted({_datatype(pd.Series(column)) for column in np.asarray(rows, dtype=object).T})
        if kinds != ["BYTES"]:
            raise InputError(
                "the array holds texts and numbers",
                why="a tensor has one type",
                fix="fit the model to a DataFrame, which has a type for each column",
            )
        return (Tensor(name=MATRIX, datatype="BYTES", shape=shape),)
    return (Tensor(name=MATRIX, datatype=numeric_datatype(rows.dtype), shape=shape),)


def inference_request(rows: Any, tensors: Sequence[Tensor]) -> dict[str, Any]:
    """Make the request of the Open Inference Protocol v2 that carries these rows, with null for a missing value."""
    if isinstance(rows, pd.DataFrame):
        columns = [rows[tensor.name].tolist() for tensor in tensors]
    elif hasattr(rows, "toarray"):
        columns = [rows.toarray().ravel().tolist()]
    else:
        columns = [np.asarray(rows, dtype=None if hasattr(rows, "dtype") else object).ravel().tolist()]
    count = len(columns[0]) if len(tensors[0].shape) == 1 else len(columns[0]) // tensors[0].shape[1]
    return {
        "inputs": [
            {
                "name": tensor.name,
                "shape": [count, *tensor.shape[1:]],
                "datatype": tensor.datatype,
                "data": [_plain(value, tensor.datatype) for value in values],
            }
            for tensor, values in zip(tensors, columns, strict=True)
        ]
    }


def missing_texts(rows: Any) -> Literal["none", "nan"]:
    """Whether a missing text is NaN, as pandas reads files, or None. Encoders tell the two apart."""
    if not isinstance(rows, pd.DataFrame):
        return "none"
    texts = [rows[name] for name in rows.columns if rows[name].dtype.kind == "O"]
    missing = {type(value) for column in texts for value in column[column.isna()]}
    return "nan" if missing and type(None) not in missing else "none"


def pick(rows: Any, positions: Sequence[int]) -> Any:
    """The rows at these positions, of the same kind."""
    if isinstance(rows, pd.DataFrame | pd.Series):
        return rows.iloc[np.asarray(positions, dtype=np.intp)]
    if isinstance(rows, list | tuple):
        return [rows[position] for position in positions]
    return (rows.tocsr() if hasattr(rows, "tocsr") else rows)[list(positions)]


def incomplete(rows: Any) -> NDArray[np.bool_]:
    """Whether a value is missing in each row."""
    if hasattr(rows, "toarray"):
        return np.zeros(rows.shape[0], dtype=bool)
    values = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame(np.asarray(rows, dtype=object))
    return np.asarray(values.isna().any(axis=1), dtype=bool)


def numeric_datatype(dtype: np.dtype[Any]) -> str:
    """The protocol's name of a numpy type. Raises `InputError` for a type that the protocol lacks."""
    bits = dtype.itemsize * 8
    names = {"b": "BOOL", "i": f"INT{bits}", "u": f"UINT{bits}", "f": f"FP{bits}"}
    name = names.get(dtype.kind)
    if name is None or bits > 64:
        raise InputError(
            f"an array is {dtype}",
            why="the inference protocol has booleans, integers and floats of up to 64 bits, and texts",
            fix="convert it before the model is fitted, such as with astype('float64')",
        )
    return name


def _columns(frame: pd.DataFrame) -> tuple[Tensor, ...]:
    names: list[Any] = list(frame.columns)
    unnamed = [name for name in names if not isinstance(name, str)]
    if unnamed:
        raise InputError(
            f"column {unnamed[0]!r} of the rows has no text for a name",
            why="a client names each column",
            fix="fit and save the model with X.columns = X.columns.astype(str), or with an array: X.to_numpy()",
        )
    repeated = sorted(set(frame.columns[frame.columns.duplicated()]))
    if repeated:
        raise InputError(f"the rows have two columns named {repeated[0]!r}", fix="give each column its own name")
    tensors, problems = [], []
    for name in frame.columns:
        try:
            tensors.append(Tensor(name=name, datatype=_datatype(frame[name])))
        except InputError as error:
            problems.append(error)
    if problems:
        raise InputError(
            "; ".join(problem.what for problem in problems),
            why="; ".join(dict.fromkeys(problem.why for problem in problems)),
            fix="; ".join(problem.fix for problem in problems),
        )
    return tuple(tensors)


def _datatype(column: pd.Series[Any]) -> str:
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _datatype(pd.Series(dtype.categories))
    if isinstance(dtype, np.dtype) and dtype.kind in "biuf":
        return numeric_datatype(dtype)
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        # pandas' nullable types: the protocol has missing values for floats only.
        return "FP64" if column.isna().any() else numeric_datatype(np.dtype(dtype.numpy_dtype))
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in ("string", "empty"):
        return "BYTES"
    numbers = kind in ("integer", "floating", "mixed-integer-float", "boolean", "decimal")
    raise InputError(
        f"column {column.name!r} holds {kind} values" + (" as objects" if numbers else ""),
        why="a column holds booleans, integers, floats or texts",
        fix=f"fit the model to X[{column.name!r}].astype({'float64' if numbers else 'str'!r})",
    )


def _plain(value: Any, datatype: str) -> Any:
    if value is None or value is pd.NA or value != value:
        return None
    if datatype == "BYTES":
        return str(value)
    return bool(value) if datatype == "BOOL" else float(value) if datatype.startswith("FP") else int(value)
