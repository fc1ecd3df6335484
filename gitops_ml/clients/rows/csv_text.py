"""CSV read as text, and turned into values only where a manifest says which type they have.

A guess from the text is wrong silently: `01067` becomes 1067, `1.10` becomes 1.1, and a country `NA` is missing.
"""

from __future__ import annotations

import io

import pyarrow as pa
from pyarrow import compute, csv

_MISSING = csv.ConvertOptions().null_values
"""What means a missing number (`NA`, `nan`, `null`, …). A missing text is an empty field without quotes."""


def read_csv(data: bytes) -> pa.Table:
    """Read every column as text; null for an empty field without quotes. Raises `pyarrow.ArrowException`."""
    lines = csv.ParseOptions(newlines_in_values=True)
    names = csv.open_csv(io.BytesIO(data), parse_options=lines).schema.names
    as_text = csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()),
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return csv.read_csv(io.BytesIO(data), parse_options=lines, convert_options=as_text)


def is_text(column: pa.Array) -> bool:
    """Whether a column holds text, of either Arrow type."""
    return bool(pa.types.is_string(column.type) or pa.types.is_large_string(column.type))


def values(text: pa.Array, kind: pa.DataType) -> pa.Array:
    """Read text as numbers or booleans of `kind`; `true` and `false` are numbers too, as they are in training data.

    Raises `pyarrow.ArrowException` for text that is no such value.
    """
    text = compute.utf8_trim_whitespace(text)
    text = compute.if_else(compute.is_in(text, pa.array(_MISSING, text.type)), pa.scalar(None, text.type), text)
    try:
        return text.cast(kind)
    except pa.ArrowInvalid as error:
        for other in () if pa.types.is_boolean(kind) else (pa.float64(), pa.bool_()):  # `5.0` and `+5` are whole
            try:
                return text.cast(other).cast(kind)
            except pa.ArrowInvalid:
                continue
        raise error
