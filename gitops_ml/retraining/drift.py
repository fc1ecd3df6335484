"""How far data has moved since training: each column's population stability index, and the target's mean.

Compares the columns that `train:` of params.yaml names. Where a repository has stages of its own, all columns that both
files have are compared. The result is advice: a model may work well on data that has moved, and badly on data that has
not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from gitops_ml.artifacts.manifest import ClassLabel
from gitops_ml.core.verification.statistics.psi import BINS, population_stability
from gitops_ml.errors import InputError
from gitops_ml.stages.params import Prepare, TimeSplit, Train, has_section, load_section

try:
    import pandas as pd

    from gitops_ml.stages.columns import times_of
except ImportError as error:  # pandas comes with the extra `stages` only
    raise InputError("the data cannot be read", why=str(error), fix="pip install 'gitops-ml[stages]'") from error

MISSING = "missing"
_ROWS_PER_CATEGORY = 10
"""A column without numbers is compared if each of its values has so many rows, on average."""


class MovedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column's index. Without drift, independent rows exceed `chance` once in a hundred times."""

    column: str
    index: float
    chance: float


class DataDrift(msgspec.Struct, frozen=True, kw_only=True):
    """All features, those that moved most first; the target's mean before and now, None if it is not a number.

    `target` is empty where no target is known.
    """

    target: str
    target_before: float | None
    target_now: float | None
    features: tuple[MovedColumn, ...]


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One month: its number of rows, the target's mean, and the features compared with all earlier months."""

    month: str
    rows: int
    target: float | None
    moved: tuple[MovedColumn, ...]


class _Columns(NamedTuple):
    """The columns to compare; `categorical` ones are counted by value. Without a target its name is empty."""

    features: list[str]
    categorical: list[str]
    target: str = ""
    positive: ClassLabel | None = None
    time: str | None = None
    timezone: str = "UTC"


def data_drift(root: Path, reference: Path, rows: Path, params: Path) -> DataDrift:
    """Compare the features of `rows` with those of `reference`. Paths are relative to `root`.

    Raises `InputError` if a file or a column is missing.
    """
    before, now = _frame(root, reference), _frame(root, rows)
    columns = _columns(root / params, {reference: before, rows: now})
    return DataDrift(
        target=columns.target,
        target_before=_mean(before, columns),
        target_now=_mean(now, columns),
        features=_features(before, now, columns),
    )


def monthly_drift(root: Path, reference: Path, rows: Path, params: Path, time: str | None = None) -> list[Month]:
    """Compare each month of both files with all earlier months.

    Args:
        time: the column with each row's time, instead of `train.time_column`.

    Raises:
        InputError: the rows have no time.
    """
    before, now = _frame(root, reference), _frame(root, rows)
    columns = _columns(root / params, {reference: before, rows: now})
    time = time or columns.time
    if time is None:
        raise InputError("the column with the rows' time is not known", fix="add --time COLUMN, or omit --by-month")
    both = pd.concat([before, now], ignore_index=True)
    if columns.time is None:
        features = [name for name in columns.features if name != time]
        columns = columns._replace(features=features)
    local = times_of(both, time).dropna().dt.tz_convert(columns.timezone)
    both, names = both.loc[local.index], local.dt.strftime("%Y-%m").to_numpy()
    months = []
    for name in sorted(set(names)):
        now, before = both[names == name], both[names < name]
        moved = _features(before, now, columns) if len(before) else ()
        months.append(Month(month=name, rows=len(now), target=_mean(now, columns), moved=moved))
    return months


def _columns(params: Path, files: Mapping[Path, pd.DataFrame]) -> _Columns:
    """The columns that `train:` names, if params.yaml has that section of our stages; else all that both files have."""
    if has_section(params, Train):
        train = load_section(params, Train)
        for path, frame in files.items():
            missing = sorted({*train.features, train.target} - set(frame.columns))
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}", fix="dvc repro prepare")
        return _Columns(
            train.features, train.categorical, train.target, train.positive, train.time_column, _timezone(params)
        )
    before, now = files.values()
    shared = [str(name) for name in before.columns if name in now.columns]
    numeric = {name for name in shared if before[name].dtype.kind in "iuf" and now[name].dtype.kind in "iuf"}
    categorical = [name for name in shared if name not in numeric and _repeats(before[name])]
    features = [name for name in shared if name in numeric or name in categorical]
    if not features:
        raise InputError(
            f"{' and '.join(map(str, files))} have no column that can be compared",
            why="columns are compared that both files have, and whose values repeat",
            fix="give other files with --reference and --rows",
        )
    return _Columns(features, categorical)


def _repeats(column: pd.Series[Any]) -> bool:
    """Whether a column holds categories: not times, identifiers or lists."""
    try:
        return column.nunique() * _ROWS_PER_CATEGORY <= len(column)
    except TypeError:  # lists cannot be counted
        return False


def _timezone(params: Path) -> str:
    split = load_section(params, Prepare).split if has_section(params, Prepare) else None
    return split.timezone if isinstance(split, TimeSplit) else "UTC"


def _frame(root: Path, path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(root / path, low_memory=False) if path.suffix == ".csv" else pd.read_parquet(root / path)
    except FileNotFoundError as error:
        raise InputError(
            f"{path} is not in this clone",
            why="the rows to compare are what the prepare stage writes, unless --reference and --rows name other files",
            fix=f"dvc pull {path}, or give --reference and --rows",
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read", why=str(error), fix="write it as Parquet or CSV") from error


def _mean(frame: pd.DataFrame, columns: _Columns) -> float | None:
    if not columns.target:
        return None
    target = frame[columns.target]
    if columns.positive is not None:
        target = target == columns.positive
    return float(target.mean()) if target.dtype.kind in "bifu" else None


def _features(before: pd.DataFrame, now: pd.DataFrame, compared: _Columns) -> tuple[MovedColumn, ...]:
    columns = []
    for column in compared.features:
        old, new = _histograms(before[column], now[column], column in compared.categorical)
        drift = population_stability(old, new)
        if drift is not None:
            columns.append(MovedColumn(column=column, index=round(drift.index, 6), chance=round(drift.chance, 6)))
    return tuple(sorted(columns, key=lambda moved: (-moved.index, moved.column)))


def _histograms(before: pd.Series[Any], now: pd.Series[Any], categorical: bool) -> tuple[Counter[str], Counter[str]]:
    """Counts by category, or by the tenths of `before`; missing values are a bin of their own."""
    if categorical:
        old, new = (Counter(side.astype(object).where(side.notna(), MISSING).astype(str)) for side in (before, now))
        return old, new
    present = before.dropna().to_numpy(float)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1])) if len(present) else present
    counts = []
    for side in (before, now):
        values = side.to_numpy(dtype=float, na_value=np.nan)
        bins = np.searchsorted(edges, values, side="left").astype(object)
        bins[np.isnan(values)] = MISSING
        counts.append(Counter(str(name) for name in bins))
    return counts[0], counts[1]
