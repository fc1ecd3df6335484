"""Stops bad data before training: tables that break their schema, or that no longer arrive.

A source that silently stopped still matches its schema, so the age of the newest row is checked too.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaDefinitionError, SchemaErrors

from gitops_ml.errors import InputError
from gitops_ml.stages.command import run_stage
from gitops_ml.stages.params import Freshness, Table, Validate
from gitops_ml.stages.tables import read_table

SHOWN = 5
"""Failed checks that an error lists."""

AHEAD = pd.Timedelta(days=1)
"""How far in the future a row may be: clocks and time zones differ."""


def check_table(name: str, frame: pd.DataFrame, table: Table) -> None:
    """Check rows against a schema.

    Raises:
        InputError: checks fail. Names each with the number of rows that fail it and one such value.
    """
    if len(frame) < table.min_rows:
        raise InputError(
            f"table {name!r} has {len(frame):,} rows",
            why=f"validate.tables.{name}.min_rows is {table.min_rows:,}",
            fix="fix the source, or lower min_rows in params.yaml",
        )
    try:
        schema = pa.DataFrameSchema(
            {
                column: pa.Column(
                    spec.dtype,
                    nullable=spec.nullable,
                    checks=[_check(name, column, check, value) for check, value in spec.checks.items()],
                )
                for column, spec in table.columns.items()
            },
            strict=True,
            unique=table.unique or None,
        )
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        raise InputError(
            f"table {name!r} does not match validate.tables.{name}",
            why="; ".join(_failures(errors.failure_cases)),
            fix="fix the source, or review the schema in params.yaml",
        ) from errors
    except (SchemaDefinitionError, TypeError) as error:
        raise InputError(f"validate.tables.{name} is not a schema", why=str(error), fix="edit params.yaml") from error


def _check(table: str, column: str, check: str, value: Any) -> Any:
    build = getattr(pa.Check, check, None)
    if build is None or check.startswith("_"):
        raise InputError(
            f"validate.tables.{table}.columns.{column} names the check {check!r}, which pandera does not have",
            fix="use ge, le, gt, lt, isin, notin, str_matches, str_length, … in params.yaml",
        )
    return build(value)


def _failures(cases: pd.DataFrame) -> list[str]:
    # The failure of a whole table has no column.
    by_check = cases.fillna({"column": "table"}).groupby(["column", "check"], sort=False)
    lines = [
        f"{column}: {check} fails in {len(rows):,} (such as {rows['failure_case'].iloc[0]!r})"
        for (column, check), rows in by_check
    ]
    return lines[:SHOWN] + ([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else [])


def check_freshness(newest: pd.Timestamp, freshness: Freshness) -> pd.Timedelta:
    """Check the age of the newest row, and return it.

    Args:
        newest: time of the newest row, in UTC.
        freshness: how old the row may be, and at which time.

    Raises:
        InputError: the row is older, is in the future, or has no time (NaT).
    """
    if pd.isna(newest):
        # Every comparison with NaT is false, so NaT would pass the checks below.
        raise InputError(
            f"table {freshness.table!r} has no {freshness.column}",
            why="no row has a value there, so the age of the newest row is unknown",
            fix="fix the source, or name another column in validate.freshness of params.yaml",
        )
    try:
        limit = pd.Timedelta(freshness.max_age)
        now = pd.Timestamp.now("UTC") if freshness.now is None else pd.Timestamp(freshness.now)
    except ValueError as error:
        raise InputError(
            "validate.freshness cannot be read", why=str(error), fix='write max_age as "7d" and now as "2013-06-01"'
        ) from error
    now = now.tz_localize("UTC") if now.tz is None else now
    age = now - newest
    if age < -AHEAD:
        raise InputError(
            f"table {freshness.table!r} has rows from the future",
            why=f"its newest {freshness.column} is {newest.isoformat()}, {_days(-age)} after {now.isoformat()}; "
            "such a row hides that no new rows arrive",
            fix="fix the source, or set validate.freshness.now in params.yaml",
        )
    if age > limit:
        raise InputError(
            f"table {freshness.table!r} is stale",
            why=f"its newest {freshness.column} is {newest.isoformat()}, {_days(age)} before {now.isoformat()}; "
            f"max_age is {freshness.max_age}",
            fix="find out why no new rows arrive, or admit later months (ingest.until in params.yaml)",
        )
    return age


def _days(age: pd.Timedelta) -> str:
    return f"{age / pd.Timedelta(days=1):.1f} days"


def validate(params: Validate, raw: Path, report: Path) -> str:
    """Check every table and the newest row's age, and write the result as JSON; the line to print.

    Raises:
        InputError: a table is missing, does not match its schema, or is stale.
    """
    frames = {name: read_table(raw, name) for name in params.tables}
    for name, table in params.tables.items():
        check_table(name, frames[name], table)
    result: dict[str, Any] = {
        "tables": {name: {"rows": len(frame), "columns": len(frame.columns)} for name, frame in frames.items()}
    }
    summary = ", ".join(f"{name} {len(frame):,} rows" for name, frame in frames.items())
    if params.freshness:
        freshness = params.freshness
        frame = frames[freshness.table] if freshness.table in frames else read_table(raw, freshness.table)
        if freshness.column not in frame:
            raise InputError(
                f"validate.freshness names the column {freshness.column!r}, which {freshness.table!r} does not have",
                fix="edit params.yaml",
            )
        newest = pd.Timestamp(frame[freshness.column].max())
        age = check_freshness(newest, freshness)
        result["newest"] = {freshness.table: newest.isoformat()}
        summary += f", newest {newest.isoformat()} ({_days(age)} old)"
    report.parent.mkdir(parents=True, exist_ok=True)
    report.write_text(json.dumps(result, indent=2) + "\n")
    return summary


def _stage(params: Validate, paths: argparse.Namespace) -> str:
    return validate(params, paths.raw, paths.report)


if __name__ == "__main__":
    sys.exit(run_stage(_stage, Validate, {"raw": "data/raw", "report": "data/validation.json"}))
