"""The checks of the `validate` stage alone, all of them, whatever fails first: for a job that asks each morning.

The stage stops at its first trouble, which is right before training. Somebody who is woken by a scheduled job wants to
know all that is wrong, and whether data was looked at at all.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gitops_ml.errors import GitopsError, InputError


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong with the data, as a `GitopsError` says it; `table` is "" where it is none's."""

    table: str
    what: str
    why: str
    fix: str


class Freshness(msgspec.Struct, frozen=True, kw_only=True):
    """How old the newest row of `table` is. Times are ISO 8601, `age` is in days."""

    table: str
    newest: str
    age: float
    max_age: str
    now: str


class DataCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: rows by table, the newest row's age, and what is wrong."""

    rows: dict[str, int]
    freshness: Freshness | None
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def check_data(root: Path, raw: Path, params: Path, now: str | None = None) -> DataCheck:
    """Check every table that was collected, and the newest row's age.

    Args:
        root: the clone.
        raw: the folder that the ingest stage writes, relative to `root`.
        params: params.yaml, relative to `root`.
        now: judge freshness at this time (ISO 8601, or `clock`), in place of `validate.freshness.now`.

    Raises:
        InputError: there is nothing to check: no data in this clone, no `validate` section, no pandera installed.
    """
    try:
        from gitops_ml.stages.params import Validate, load_section
        from gitops_ml.stages.tables import read_table
        from gitops_ml.stages.validate import check_table
    except ImportError as error:
        raise InputError(
            "the data cannot be checked here", why=str(error), fix="pip install 'gitops-ml[stages]'"
        ) from error
    section = load_section(root / params, Validate)
    if not (root / raw).is_dir():
        raise InputError(
            f"{raw} is not in this clone",
            why="the data that dvc.lock names has not been brought here",
            fix=f"dvc pull {raw}, or collect it: dvc repro ingest",
        )
    problems: list[Problem] = []
    rows: dict[str, int] = {}
    for name, table in section.tables.items():
        try:
            frame = read_table(root / raw, name)
            rows[name] = len(frame)
            check_table(name, frame, table)
        except InputError as error:
            problems.append(_problem(name, error))
    found = None
    if section.freshness is not None:
        wanted = section.freshness if now is None else msgspec.structs.replace(section.freshness, now=_time(now))
        try:
            found = _freshness(root / raw, wanted, problems)
        except InputError as error:
            if not any(p.table == wanted.table and p.what == error.what for p in problems):
                problems.append(_problem(wanted.table, error))
    return DataCheck(rows=rows, freshness=found, problems=tuple(problems))


def _time(now: str) -> str | None:
    return None if now == "clock" else now


def _freshness(raw: Path, wanted: object, problems: list[Problem]) -> Freshness:
    """The newest row's age; one that is too old is added to `problems`."""
    import pandas as pd

    from gitops_ml.stages.params import Freshness as PlannedDeployment
    from gitops_ml.stages.tables import read_table
    from gitops_ml.stages.validate import check_freshness

    assert isinstance(wanted, PlannedDeployment)
    frame = read_table(raw, wanted.table)
    if wanted.column not in frame:
        raise InputError(
            f"validate.freshness names the column {wanted.column!r}, which {wanted.table!r} has not",
            fix="edit params.yaml",
        )
    newest = pd.Timestamp(frame[wanted.column].max())
    try:
        now = pd.Timestamp.now("UTC") if wanted.now is None else pd.Timestamp(wanted.now)
    except ValueError as error:
        raise InputError(f"`{wanted.now}` is no time", fix="write it like 2013-06-02, or clock") from error
    now = now.tz_localize("UTC") if now.tz is None else now
    wanted = msgspec.structs.replace(wanted, now=now.isoformat())
    try:
        check_freshness(newest, wanted)
    except InputError as error:
        problems.append(_problem(wanted.table, error))
    return Freshness(
        table=wanted.table,
        newest=newest.isoformat(),
        age=round((now - newest) / pd.Timedelta(days=1), 3),
        max_age=wanted.max_age,
        now=now.isoformat(),
    )


def _problem(table: str, error: GitopsError) -> Problem:
    return Problem(table=table, what=error.what, why=error.why, fix=error.fix)
