"""How far data has moved since training: each feature's population stability index, and the target's mean.

Reads the files that the `prepare` stage wrote and the columns that params.yaml names. The result is advice: a model may
work well on data that has moved, and badly on data that has not.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gitops_ml.core.verification.psi import BINS, population_stability
from gitops_ml.errors import InputError
from gitops_ml.stages.params import Prepare, TimeSplit, Train, load_section

try:
    import pandas as pd
except ImportError as error:  # pandas comes with the extra `stages` only
    raise InputError("the data cannot be read", why=str(error), fix="pip install 'gitops-ml[stages]'") from error

MISSING = "missing"


class MovedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column's index. Without drift, independent rows exceed `chance` once in a hundred times."""

    column: str
    index: float
    chance: float


class DataDrift(msgspec.Struct, frozen=True, kw_only=True):
    """All features, those that moved most first; the target's mean before and now, None if it is not a number."""

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


def data_drift(root: Path, reference: Path, rows: Path, params: Path) -> DataDrift:
    """Compare the features of `rows` with those of `reference`. Paths are relative to `root`.

    Raises `InputError` if a file or a column is missing.
    """
    train = load_section(root / params, Train)
    before, now = _frame(root, reference, train), _frame(root, rows, train)
    return DataDrift(
        target=train.target,
        target_before=_mean(before, train),
        target_now=_mean(now, train),
        features=_features(before, now, train),
    )


def monthly_drift(root: Path, reference: Path, rows: Path, params: Path) -> list[Month]:
    """Compare each month of both files with all earlier months. Raises `InputError` if the rows have no time."""
    train = load_section(root / params, Train)
    if train.time_column is None:
        raise InputError("the rows have no time", why="train.time_column is null", fix="run it without --by-month")
    both = pd.concat([_frame(root, reference, train), _frame(root, rows, train)], ignore_index=True)
    if train.time_column not in both:
        raise InputError(
            f"the rows have no column {train.time_column!r}", fix="add it to prepare.keep, then dvc repro prepare"
        )
    local = both[train.time_column].dt.tz_convert(_timezone(root / params))
    names = local.dt.strftime("%Y-%m").to_numpy()
    months = []
    for name in sorted(set(names)):
        now, before = both[names == name], both[names < name]
        features = _features(before, now, train) if len(before) else ()
        months.append(Month(month=name, rows=len(now), target=_mean(now, train), moved=features))
    return months


def _timezone(params: Path) -> str:
    split = load_section(params, Prepare).split
    return split.timezone if isinstance(split, TimeSplit) else "UTC"


def _frame(root: Path, path: Path, train: Train) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(root / path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read", why=str(error), fix=f"dvc pull {path}, or dvc repro") from error
    missing = sorted({*train.features, train.target} - set(frame.columns))
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)}", fix="dvc repro prepare")
    return frame


def _mean(frame: pd.DataFrame, train: Train) -> float | None:
    target = frame[train.target]
    if train.positive is not None:
        target = target == train.positive
    return float(target.mean()) if target.dtype.kind in "bifu" else None


def _features(before: pd.DataFrame, now: pd.DataFrame, train: Train) -> tuple[MovedColumn, ...]:
    columns = []
    for column in train.features:
        old, new = _histograms(before[column], now[column], column in train.categorical)
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
