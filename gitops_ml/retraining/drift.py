"""Has the world moved since the model learnt? Each feature's population stability index, and the target's own rate.

Read from the files that `prepare` wrote, by the columns that params.yaml names. It advises and never decides: a model
may serve a moved world well, and fail in one that stands still.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from gitops_ml.core.verification.psi import BINS, population_stability
from gitops_ml.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from gitops_ml.stages.params import Train

MISSING = "missing"


class MovedColumn(msgspec.Struct, frozen=True, kw_only=True):
    """One column's index; `chance` is what no drift at all would exceed once in a hundred, for independent rows."""

    column: str
    index: float
    chance: float


class DataDrift(msgspec.Struct, frozen=True, kw_only=True):
    """All features, the most moved first; the target's mean before and now, None where it is no number."""

    target: str
    target_before: float | None
    target_now: float | None
    features: tuple[MovedColumn, ...]


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One month: how many rows, the target's mean, and what has moved most since all months before it."""

    month: str
    rows: int
    target: float | None
    moved: tuple[MovedColumn, ...]


def moved(root: Path, reference: Path, rows: Path, params: Path) -> DataDrift:
    """How far the features of `rows` have moved from those of `reference`. Paths are relative to `root`.

    Raises `InputError` when a file or a column is not there.
    """
    train = _train(root / params)
    before, now = _frame(root, reference, train), _frame(root, rows, train)
    return DataDrift(
        target=train.target,
        target_before=_mean(before, train),
        target_now=_mean(now, train),
        features=_features(before, now, train),
    )


def months(root: Path, reference: Path, rows: Path, params: Path) -> list[Month]:
    """The same, month by month over both files together. Raises `InputError` where rows carry no time."""
    import pandas as pd

    train = _train(root / params)
    if train.time_column is None:
        raise InputError("the rows carry no time", why="train.time_column is null", fix="leave --by-month away")
    both = pd.concat([_frame(root, reference, train), _frame(root, rows, train)], ignore_index=True)
    if train.time_column not in both:
        raise InputError(
            f"the rows have no column {train.time_column!r}", fix="add it to prepare.keep, then dvc repro prepare"
        )
    local = both[train.time_column].dt.tz_convert(_timezone(root / params))
    names = local.dt.strftime("%Y-%m").to_numpy()
    found = []
    for name in sorted(set(names)):
        now, before = both[names == name], both[names < name]
        features = _features(before, now, train) if len(before) else ()
        found.append(Month(month=name, rows=len(now), target=_mean(now, train), moved=features))
    return found


def _train(params: Path) -> Train:
    try:
        import pandas  # noqa: F401  # here, so that its absence is said once

        from gitops_ml.stages.params import Train, load_section
    except ImportError as error:
        raise InputError("the data cannot be read", why=str(error), fix="pip install 'gitops-ml[stages]'") from error
    return load_section(params, Train)


def _timezone(params: Path) -> str:
    from gitops_ml.stages.params import Prepare, TimeSplit, load_section

    split = load_section(params, Prepare).split
    return split.timezone if isinstance(split, TimeSplit) else "UTC"


def _frame(root: Path, path: Path, train: Train) -> pd.DataFrame:
    import pandas as pd

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
    found = []
    for column in train.features:
        old, new = _histograms(before[column], now[column], column in train.categorical)
        drift = population_stability(old, new)
        if drift is not None:
            found.append(MovedColumn(column=column, index=round(drift.index, 6), chance=round(drift.chance, 6)))
    return tuple(sorted(found, key=lambda one: (-one.index, one.column)))


def _histograms(before: pd.Series[Any], now: pd.Series[Any], categorical: bool) -> tuple[Counter[str], Counter[str]]:
    """Counts by category, or by the tenths of what was learnt from; missing values are a bin of their own."""
    import numpy as np

    if categorical:
        old, new = (Counter(side.astype(object).where(side.notna(), MISSING).astype(str)) for side in (before, now))
        return old, new
    learnt = before.dropna().to_numpy(float)
    edges = np.unique(np.quantile(learnt, np.linspace(0, 1, BINS + 1)[1:-1])) if len(learnt) else learnt
    counted = []
    for side in (before, now):
        values = side.to_numpy(dtype=float, na_value=np.nan)
        bins = np.searchsorted(edges, values, side="left").astype(object)
        bins[np.isnan(values)] = MISSING
        counted.append(Counter(str(name) for name in bins))
    return counted[0], counted[1]
