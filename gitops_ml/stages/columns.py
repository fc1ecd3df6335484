"""The columns of a source, each as the type that is meant.

CSV holds text only. pandas' guess turns the postcode `01067` into 1067 and the country `NA` into a missing value, so a
guess that loses something is refused: params.yaml then says what the column is.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gitops_ml.errors import InputError
from gitops_ml.stages.params import ColumnType, Source

_MISSING = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""What means a missing number: pandas' words. In text, only an empty field and the words under `missing:` do."""
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}
_EXACT_DIGITS = 15
"""So many decimal digits survive in a float64."""


class Reading:
    """How the columns of one source are read. Columns that are not collected stay text."""

    def __init__(self, name: str, source: Source) -> None:
        self.source = name
        self.types = source.types
        self.missing = source.missing
        self._collected = set(source.columns)
        self._words_only: dict[str, str] = {}
        """Columns of a file that hold nothing but such a word."""

    def csv(self, path: Path) -> pd.DataFrame:
        """Read a CSV file, compressed or not.

        Raises:
            InputError: a column is not what its type says, or has none and pandas' guess would lose something.
            ValueError: the file is no CSV.
        """
        with warnings.catch_warnings():
            # pandas drops the surplus fields of a row with a warning, or takes the first column for an index.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            text = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
            collected = [name for name in text.columns if self._is_collected(str(name))]
            words = dict(self.missing)
            guess = pd.read_csv(path, low_memory=False, na_values=words, usecols=collected, index_col=False)
        for name in collected:
            text[name] = self._column(str(name), text[name], guess[name])
        return text

    def parquet(self, path: Path) -> pd.DataFrame:
        """Read a Parquet file, which has types; those that params.yaml declares are converted."""
        frame = pd.read_parquet(path)
        for name in frame.columns.intersection(list(self.types)):
            frame[name] = self._declared(name, as_text(frame[name]), self.types[name])
        return frame

    def _is_collected(self, column: str) -> bool:
        return not self._collected or column in self._collected

    def _column(self, name: str, text: pd.Series[Any], guess: pd.Series[Any]) -> pd.Series[Any]:
        declared = self.types.get(name)
        words = self.missing.get(name, [])
        present = text.where(~text.isin(["", *words]))
        if declared is not None:
            return self._declared(name, present, declared)
        if guess.isna().all() and present.notna().any():
            self._words_only[name] = present.dropna().iloc[0]
        if guess.dtype != object:
            self._check_exact(name, text, guess)
            return guess
        ambiguous = present[present.isin(_MISSING)]
        if name not in self.missing and len(ambiguous):
            raise self._ambiguous(name, ambiguous.iloc[0])
        return present

    def _ambiguous(self, name: str, word: str) -> InputError:
        return InputError(
            f"source {self.source!r}: column {name!r} is text and holds {word!r}",
            why="that may be a value, or mean that the value is missing",
            fix=f"write ingest.sources.{self.source}.missing: {{{name}: [{word}]}} in params.yaml, "
            f"or types: {{{name}: text}} if it is a value",
        )

    def _check_exact(self, name: str, text: pd.Series[Any], guess: pd.Series[Any]) -> None:
        """Raise `InputError` for text that a number does not hold: leading zeros, or more digits than a float64 has."""
        if guess.dtype.kind not in "iuf":
            return
        lossy = text.str.fullmatch(r"\s*[+-]?0\d+\s*")
        if guess.dtype.kind == "f":
            lossy |= text.str.fullmatch(rf"\s*[+-]?\d{{{_EXACT_DIGITS + 1},}}\s*")
        if lossy.any():
            first = text[lossy].iloc[0]
            raise InputError(
                f"source {self.source!r}: column {name!r} looks like numbers, and {first!r} is none",
                why=f"as a number it would become {guess[lossy].iloc[0]:.0f}",
                fix=f"write ingest.sources.{self.source}.types: {{{name}: text}} in params.yaml, or number",
            )

    def _declared(self, name: str, text: pd.Series[Any], declared: ColumnType) -> pd.Series[Any]:
        if declared == "text":
            return text
        text = text.str.strip()
        text = text.where(~text.isin(_MISSING))
        if declared == "boolean":
            values: pd.Series[Any] = text.str.lower().map(_BOOLEANS)
            wrong = text[text.notna() & values.isna()]
            values = values if values.isna().any() else values.astype(bool)
        else:
            values = pd.to_numeric(text, errors="coerce").astype("float64")
            wrong = text[text.notna() & ~np.isfinite(values)]
            if declared == "integer" and wrong.empty:
                values, wrong = _integers(text, values)
        if len(wrong):
            first: Any = wrong.iloc[0]
            value = repr(first) if isinstance(first, str) else "a missing value"
            raise InputError(
                f"source {self.source!r}: column {name!r} holds {value}",
                why=f"ingest.sources.{self.source}.types says {declared}",
                fix="fix the source, or declare another type: text, number, integer or boolean",
            )
        return values

    def check_same_kind(self, frames: Mapping[str, pd.DataFrame], skip: str | None) -> None:
        """Check that each column is of one kind in all files. `frames` are by file name, `skip` is a column.

        Raises:
            InputError: a column is a number in one file and text in another.
        """
        kinds: dict[str, dict[str, str]] = {}
        for file, frame in frames.items():
            for name in frame.columns:
                if name != skip and self._is_collected(str(name)) and frame[name].notna().any():
                    kinds.setdefault(str(name), {}).setdefault(_kind(frame[name]), file)
        for name, files in kinds.items():
            if len(files) > 1:
                listed = " and ".join(f"{kind} in {file}" for kind, file in files.items())
                raise InputError(
                    f"source {self.source!r}: column {name!r} is {listed}",
                    why="a column has one type in all files",
                    fix=f"write ingest.sources.{self.source}.types: {{{name}: text}} in params.yaml, or fix the file",
                )
            if "text" in files and name in self._words_only:
                raise self._ambiguous(name, self._words_only[name])


def _integers(text: pd.Series[Any], values: pd.Series[Any]) -> tuple[pd.Series[Any], pd.Series[Any]]:
    """The values as int64, and the text that is no such number: missing, a fraction, or too many digits."""
    try:
        return text.astype("int64"), text.iloc[:0]
    except (ValueError, TypeError, OverflowError):
        wrong = text[values.isna() | (values % 1 != 0) | (values.abs() >= 2**53)]
        return (values, wrong) if len(wrong) else (values.astype("int64"), wrong)


def as_text(column: pd.Series[Any]) -> pd.Series[Any]:
    """A column as text, with None for missing values: whole numbers as `7`, though a float64 holds them, else as str().

    A column of whole numbers becomes float64 as soon as one value is missing, and clients send `7` all the same.
    """
    text = column.astype(str)
    if column.dtype.kind == "f":
        whole = column.notna() & np.isfinite(column) & (column % 1 == 0) & (column.abs() < 2**53)
        text = text.where(~whole, column.where(whole, 0).astype("int64").astype(str))
    values = text.to_numpy(dtype=object, copy=True)
    values[column.isna().to_numpy()] = None
    return pd.Series(values, index=column.index, name=column.name, dtype=object)


def times_of(rows: pd.DataFrame, column: str) -> pd.Series[Any]:
    """The time column of rows, in UTC; times without an offset are taken as UTC.

    Raises:
        InputError: there is no such column, or it holds no times.
    """
    if column not in rows:
        raise InputError(f"the rows have no column {column!r}", fix="add it to prepare.keep in params.yaml")
    try:
        return pd.to_datetime(rows[column], utc=True, format="ISO8601")
    except (ValueError, TypeError) as error:
        raise InputError(
            f"column {column!r} is not a time", why=str(error), fix="name a column with ISO 8601 times"
        ) from error


def _kind(column: pd.Series[Any]) -> str:
    if column.dtype == object:
        return "boolean" if all(isinstance(value, bool) for value in column.dropna()) else "text"
    named = {"i": "a number", "u": "a number", "f": "a number", "b": "boolean", "M": "a time"}
    return named.get(column.dtype.kind, "text")
