"""All checks of the `validate` stage, whatever fails first: for a scheduled job.

The stage stops at its first problem, which is right before training. Whoever reads the result of a scheduled job wants
to know all problems.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gitops_ml.errors import GitopsError, InputError

try:
    import pandas as pd

    from gitops_ml.stages import params as stage_params
    from gitops_ml.stages.tables import read_table
    from gitops_ml.stages.validate import check_freshness, check_table
except ImportError as error:  # pandas and pandera come with the extra `stages` only
    raise InputError(
        "the data cannot be checked here", why=str(error), fix="pip install 'gitops-ml[stages]'"
    ) from error


class DataProblem(msgspec.Struct, frozen=True, kw_only=True):
    """A problem of the data, in the parts of a `GitopsError`; `table` is empty if it concerns no table."""

    table: str
    what: str
    why: str
    fix: str


class DataFreshness(msgspec.Struct, frozen=True, kw_only=True):
    """Age of the newest row of `table`, in days, at `now`. Times are ISO 8601."""

    table: str
    newest: str
    age: float
    max_age: str
    now: str


class DataCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Result of all checks: rows by table, the newest row's age, and the problems."""

    rows: dict[str, int]
    freshness: DataFreshness | None
    problems: tuple[DataProblem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def check_data(root: Path, raw: Path, params: Path, now: str | None = None) -> DataCheck:
    """Check every collected table, and the newest row's age.

    Args:
        root: the clone.
        raw: the folder that the ingest stage writes, relative to `root`.
        params: params.yaml, relative to `root`.
        now: judge freshness at this time (ISO 8601, or `clock`) instead of `validate.freshness.now`.

    Raises:
        InputError: nothing can be checked: this clone has no data, or params.yaml no `validate` section.
    """
    if not (root / params).exists():
        raise InputError(
            f"{params} is not in this clone",
            why="`data check` runs the checks of the validate stage, which that file declares",
            fix="write `validate:` there (docs/pipeline.md), give --params, or check the data in a stage of your own",
        )
    section = stage_params.load_section(root / params, stage_params.Validate)
    if not (root / raw).is_dir():
        raise InputError(
            f"{raw} is not in this clone",
            why="the data that dvc.lock names is not checked out",
            fix=f"dvc pull {raw}, or collect it: dvc repro ingest",
        )
    problems: list[DataProblem] = []
    rows: dict[str, int] = {}
    for name, table in section.tables.items():
        try:
            frame = read_table(root / raw, name)
            rows[name] = len(frame)
            check_table(name, frame, table)
        except InputError as error:
            problems.append(_problem(name, error))
    freshness = None
    if section.freshness is not None:
        policy = section.freshness
        if now is not None:
            policy = msgspec.structs.replace(policy, now=None if now == "clock" else now)
        try:
            freshness = _freshness(root / raw, policy, problems)
        except InputError as error:
            if not any(known.table == policy.table and known.what == error.what for known in problems):
                problems.append(_problem(policy.table, error))
    return DataCheck(rows=rows, freshness=freshness, problems=tuple(problems))


def _freshness(raw: Path, policy: stage_params.Freshness, problems: list[DataProblem]) -> DataFreshness:
    """The newest row's age. A row that is too old is added to `problems`."""
    frame = read_table(raw, policy.table)
    if policy.column not in frame:
        raise InputError(
            f"validate.freshness names the column {policy.column!r}, which {policy.table!r} does not have",
            fix="edit params.yaml",
        )
    newest = pd.Timestamp(frame[policy.column].max())
    try:
        now = pd.Timestamp.now("UTC") if policy.now is None else pd.Timestamp(policy.now)
    except ValueError as error:
        raise InputError(f"`{policy.now}` is not a time", fix="write it like 2013-06-02, or clock") from error
    now = now.tz_localize("UTC") if now.tz is None else now
    policy = msgspec.structs.replace(policy, now=now.isoformat())
    try:
        check_freshness(newest, policy)
    except InputError as error:
        problems.append(_problem(policy.table, error))
    return DataFreshness(
        table=policy.table,
        newest=newest.isoformat(),
        age=round((now - newest) / pd.Timedelta(days=1), 3),
        max_age=policy.max_age,
        now=now.isoformat(),
    )


def _problem(table: str, error: GitopsError) -> DataProblem:
    return DataProblem(table=table, what=error.what, why=error.why, fix=error.fix)
