"""Turns checked tables into training rows and held-out rows, which no model is trained on.

Joins, derived columns and filters come before the split, so that they cannot differ between training and judging.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gitops_ml.errors import InputError
from gitops_ml.stages.command import run_stage
from gitops_ml.stages.params import Join, Prepare, RandomSplit, TimeSplit
from gitops_ml.stages.tables import read_table, write_parquet


def join(frame: pd.DataFrame, other: pd.DataFrame, how: Join) -> pd.DataFrame:
    """Add columns of `other` to the rows of `frame`, which keep their order.

    Raises:
        InputError: a column is missing, or `other` has a key twice, which would repeat rows.
    """
    wanted = how.columns or [column for column in other.columns if column not in frame.columns]
    missing = sorted(set(how.by) - set(frame.columns) | {*how.by, *wanted} - set(other.columns))
    if missing:
        raise InputError(
            f"the join with {how.table!r} has no column {', '.join(missing)}", fix="edit prepare.joins in params.yaml"
        )
    try:
        return frame.merge(other[[*how.by, *wanted]], on=how.by, how=how.how, validate="many_to_one")
    except pd.errors.MergeError as error:
        raise InputError(
            f"table {how.table!r} has the same {', '.join(how.by)} more than once",
            why="each row may have one match at most",
            fix="edit prepare.joins in params.yaml, or fix the source",
        ) from error


def compute(frame: pd.DataFrame, expression: str, where: str) -> Any:
    """Evaluate an expression over the columns of a frame (`pandas.DataFrame.eval`).

    Expressions may call methods of columns: params.yaml is code of the repository, trusted as the commands in dvc.yaml.

    Raises:
        InputError: the expression fails. Names its place in params.yaml.
    """
    try:
        return frame.eval(expression, engine="python")
    except Exception as error:  # an expression can raise anything
        raise InputError(
            f"{where} cannot be computed: {expression}",
            why=f"{type(error).__name__}: {error}",
            fix="edit params.yaml",
        ) from error


def split_by_time(frame: pd.DataFrame, split: TimeSplit) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into the rows before the cut and those of the months from the cut on, each in order of time.

    Raises:
        InputError: the column holds no times, or the cut is not a month.
    """
    if split.column not in frame or not isinstance(frame[split.column].dtype, pd.DatetimeTZDtype):
        raise InputError(
            f"prepare.split.column {split.column!r} is not a time column",
            fix="name a column that ingest.sources.<table>.time names, in params.yaml",
        )
    frame = frame.sort_values(split.column, kind="stable")
    local = frame[split.column].dt.tz_convert(split.timezone)
    if split.cut == "newest":
        cut = local.iloc[-1].normalize().replace(day=1)
    elif re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", split.cut):
        cut = pd.Timestamp(split.cut, tz=split.timezone)
    else:
        raise InputError(
            f"prepare.split.cut is {split.cut!r}, which is not a month", fix='write "2013-05" or newest in params.yaml'
        )
    end = cut + pd.DateOffset(months=split.months)
    return frame[local < cut], frame[(local >= cut) & (local < end)]


def split_at_random(frame: pd.DataFrame, split: RandomSplit, group: str | None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split into training and held-out rows, each in their order; a group column keeps groups whole."""
    rng = np.random.default_rng(split.seed)
    units = np.arange(len(frame)) if group is None else pd.factorize(frame[group])[0]
    count = int(units.max()) + 1
    is_held_out = rng.permutation(count) < round(count * split.holdout)
    mask = is_held_out[units]
    return frame[~mask], frame[mask]


def prepare(params: Prepare, raw: Path, train: Path, holdout: Path) -> str:
    """Write the training rows and the held-out rows, each with the columns `keep`, features and target, in that order.

    Raises:
        InputError: a table, a column or an expression is wrong, or one side has no rows.
    """
    if params.group is not None and params.group not in params.keep:
        raise InputError(f"prepare.group {params.group!r} is not kept", fix="add it to prepare.keep in params.yaml")
    frame = read_table(raw, params.table)
    for step in params.joins:
        frame = join(frame, read_table(raw, step.table), step)
    for name, expression in params.derive.items():
        frame[name] = compute(frame, expression, f"prepare.derive.{name}")
    target = compute(frame, params.target.expression, "prepare.target")
    frame[params.target.name] = target.astype("int64") if target.dtype == bool else target
    for number, expression in enumerate(params.filters):
        frame = frame[compute(frame, expression, f"prepare.filters[{number}]").astype(bool)]
    if frame.empty:
        raise InputError(
            "prepare would have no rows", why="the filters keep none", fix="edit prepare.filters in params.yaml"
        )
    columns = list(dict.fromkeys([*params.keep, *params.features, params.target.name]))
    missing = sorted(set(columns) - set(frame.columns))
    if missing:
        raise InputError(
            f"prepare has no column {', '.join(missing)}",
            why=f"after joins and derive there are {', '.join(frame.columns)}",
            fix="edit prepare in params.yaml",
        )
    # The split may need columns that are not written, so it comes first.
    sides = (
        split_by_time(frame, params.split)
        if isinstance(params.split, TimeSplit)
        else split_at_random(frame, params.split, params.group)
    )
    summaries = []
    for path, rows in zip((train, holdout), sides, strict=True):
        if rows.empty:
            raise InputError(
                f"{path.name} would have no rows",
                why=f"{len(frame):,} rows are left after the filters, all on the other side of the split",
                fix="edit prepare.split or ingest.until in params.yaml",
            )
        write_parquet(rows[columns].reset_index(drop=True), path)
        summaries.append(f"{path.stem} {len(rows):,} rows{_span(rows, params.split)}")
    return ", ".join(summaries)


def _span(rows: pd.DataFrame, split: TimeSplit | RandomSplit) -> str:
    if isinstance(split, RandomSplit):
        return ""
    times = rows[split.column].dt.tz_convert(split.timezone)
    return f" ({times.iloc[0]:%Y-%m-%d} to {times.iloc[-1]:%Y-%m-%d})"


def _stage(params: Prepare, paths: argparse.Namespace) -> str:
    return prepare(params, paths.raw, paths.train, paths.holdout)


if __name__ == "__main__":
    sys.exit(
        run_stage(
            _stage,
            Prepare,
            {"raw": "data/raw", "train": "data/train.parquet", "holdout": "data/holdout.parquet"},
        )
    )
