"""Collects each table, one file a month, up to the newest month that params.yaml admits.

With one file a month, DVC stores each month once, however often later months arrive. `ingest.until` can also simulate
that months of a complete data set arrive one by one.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

import pandas as pd

from gitops_ml.errors import InputError
from gitops_ml.stages.command import run_stage
from gitops_ml.stages.params import Ingest
from gitops_ml.stages.tables import WHOLE, read_source, write_parquet


def split_months(frame: pd.DataFrame, column: str, timezone: str) -> dict[str, pd.DataFrame]:
    """Split rows by month ("2013-05") of a UTC time column; months begin as in `timezone`, rows keep their order.

    Raises:
        InputError: a row has no time.
    """
    if frame[column].isna().any():
        raise InputError(
            f"{int(frame[column].isna().sum())} rows have no {column!r}",
            why="each row belongs to the month of its time",
            fix="fix the source",
        )
    local = frame[column].dt.tz_convert(timezone)
    number = local.dt.year * 12 + local.dt.month - 1
    return {f"{key // 12:04d}-{key % 12 + 1:02d}": rows for key, rows in frame.groupby(number.to_numpy(), sort=True)}


def ingest(params: Ingest, out: Path) -> str:
    """Write `<out>/<table>/<month>.parquet` for each source, in place of what is there.

    Raises:
        InputError: a source cannot be read, or has no row up to `params.until`.
    """
    if params.until is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", params.until):
        raise InputError(
            f"ingest.until is {params.until!r}, which is not a month",
            fix='write it as "2013-05" in params.yaml',
        )
    summaries: list[str] = []
    for name, source in params.sources.items():
        frame = read_source(name, source)
        months = {WHOLE: frame} if source.time is None else split_months(frame, source.time, params.timezone)
        admitted = {
            month: rows
            for month, rows in months.items()
            if source.time is None or params.until is None or month <= params.until
        }
        if not admitted:
            raise InputError(
                f"source {name!r} has no row up to {params.until}",
                why=f"its first month is {min(months, default='none')}",
                fix="raise ingest.until in params.yaml",
            )
        shutil.rmtree(out / name, ignore_errors=True)
        for month, rows in admitted.items():
            write_parquet(rows.reset_index(drop=True), out / name / f"{month}.parquet")
        span = f"{min(admitted)} to {max(admitted)}" if source.time else WHOLE
        summaries.append(f"{name} {sum(map(len, admitted.values())):,} rows, {span}")
    return "; ".join(summaries)


def _stage(params: Ingest, paths: argparse.Namespace) -> str:
    return ingest(params, paths.out)


if __name__ == "__main__":
    sys.exit(run_stage(_stage, Ingest, {"out": "data/raw"}))
