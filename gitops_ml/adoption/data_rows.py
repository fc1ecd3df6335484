"""Some rows of the data files that a repository tracks, as plain columns: an example of what a model is asked."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gitops_ml.errors import InputError

ROWS = 200
"""Rows of a file that are looked at."""
FIRST_BYTES = 8 << 20
"""Bytes of a text file that are read."""
MAX_COLUMNS = 5000
SUFFIXES = (".csv", ".tsv", ".parquet")
_MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]


def is_data(name: str) -> bool:
    """Whether a file's name says that it holds rows which can be read here."""
    return name.lower().endswith(SUFFIXES)


def read_rows(path: Path, name: str) -> dict[str, dict[str, Any]]:
    """The first rows of a data file: for each column its kind (`float`, `integer`, `boolean`, `text`) and its values.

    Args:
        name: the file as messages name it; its suffix says how it is read.

    Raises:
        InputError: it cannot be read as what its name says.
    """
    readers: dict[str, Callable[[Path], Any]] = {
        ".csv": lambda file: _delimited(file, ","),
        ".tsv": lambda file: _delimited(file, "\t"),
        ".parquet": _parquet,
    }
    suffix = posixpath.splitext(name.lower())[1]
    if suffix not in readers:
        raise InputError(
            f"{name} is no table that can be read", why=f"{', '.join(SUFFIXES)} are read", fix="give another file"
        )
    if not path.is_file():
        raise InputError(f"there is no file {name}", fix="give the path of a CSV, TSV or Parquet file")
    try:
        table = readers[suffix](path)
        columns = dict(_columns(table))
    except Exception as error:  # pyarrow raises many kinds for a broken file
        why = str(error).partition("\n")[0][:300]
        raise InputError(
            f"{name} cannot be read", why=why, fix="give a file with a header and a row each line"
        ) from error
    if len(columns) > MAX_COLUMNS:
        raise InputError(f"{name} has {len(columns)} columns", why=f"{MAX_COLUMNS} are read", fix="give another file")
    return columns


def _delimited(path: Path, separator: str) -> Any:
    import pyarrow as pa
    import pyarrow.csv

    with path.open("rb") as file:
        data = file.read(FIRST_BYTES)
    if len(data) == FIRST_BYTES:
        data = data[: data.rfind(b"\n") + 1]
    options = pyarrow.csv.ConvertOptions(strings_can_be_null=True, null_values=_MISSING)
    return pyarrow.csv.read_csv(
        pa.BufferReader(data),
        parse_options=pyarrow.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=options,
    )


def _parquet(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(path)
    batches = list(_first(file.iter_batches(batch_size=ROWS), 1))
    return pa.Table.from_batches(batches, schema=None if batches else file.schema_arrow)


def _first(batches: Iterator[Any], count: int) -> Iterator[Any]:
    for _, batch in zip(range(count), batches, strict=False):
        yield batch


def _columns(table: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    import pyarrow as pa

    table = table.slice(0, ROWS)
    for name in table.column_names:
        column = table.column(name)
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
            kind = column.type
        if pa.types.is_boolean(kind):
            yield str(name), {"kind": "boolean", "data": column.to_pylist()}
        elif pa.types.is_integer(kind):
            yield str(name), {"kind": "integer", "data": column.to_pylist()}
        elif pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
            values = [None if value is None or value != value else float(value) for value in column.to_pylist()]
            yield str(name), {"kind": "float", "data": values}
        elif not pa.types.is_nested(kind) and not pa.types.is_binary(kind):
            texts = column if pa.types.is_string(kind) else column.cast(pa.string())
            yield str(name), {"kind": "text", "data": texts.to_pylist()}
