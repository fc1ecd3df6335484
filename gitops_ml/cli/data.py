"""`data`: is it what it should be, does it still arrive, and has it moved? Each fit for a scheduled job of its own."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.retraining.drift import Month, MovedColumn
    from gitops_ml.retraining.freshness import DataCheck

_Repo = Annotated[Path, typer.Option("--repo", "-C", help="The clone to work in.", show_default=False)]
_Params = Annotated[Path, typer.Option(help="The stages' parameters, in the clone.")]
_AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    data = typer.Typer(help="Check the data that models are made of.", no_args_is_help=True, rich_markup_mode=None)
    data.command()(check)
    data.command()(drift)
    app.add_typer(data, name="data")


def check(
    raw: Annotated[Path, typer.Option(help="What the ingest stage collects.")] = Path("data/raw"),
    params: _Params = Path("params.yaml"),
    now: Annotated[
        str | None,
        typer.Option(help="Judge freshness at this time, or at `clock`'s; else at validate.freshness.now."),
    ] = None,
    as_json: _AsJson = False,
    repo: _Repo = Path(),
) -> None:
    """Check schema and freshness of the data that was collected: exit code 0, or 1 and what fixes it."""
    from gitops_ml.retraining.freshness import check_data

    found = check_data(repo, raw, params, now)
    if as_json:
        shown = {"ok": found.ok, "rows": found.rows, "freshness": found.freshness, "problems": found.problems}
        print(render.as_json(shown))
    else:
        _show_check(found)
    for problem in found.problems:
        why = f": {problem.why}" if problem.why else ""
        print(f"error: {problem.what}{why}\n  fix: {problem.fix}", file=sys.stderr)
    if not found.ok:
        raise typer.Exit(1)


def _show_check(found: DataCheck) -> None:
    broken = {problem.table for problem in found.problems}
    for name, rows in found.rows.items():
        print(f"{render.paint('fail' if name in broken else 'pass')} {name}: {rows:,} rows")
    if found.freshness:
        fresh = found.freshness
        print(f"newest {fresh.table} {fresh.newest}, {fresh.age:.1f} days old at {fresh.now}; max_age {fresh.max_age}")


def drift(
    reference: Annotated[Path, typer.Option(help="Rows that the model learnt from.")] = Path("data/train.parquet"),
    rows: Annotated[Path, typer.Option(help="Newer rows.")] = Path("data/holdout.parquet"),
    by_month: Annotated[bool, typer.Option("--by-month", help="One line for each month of both files.")] = False,
    params: _Params = Path("params.yaml"),
    as_json: _AsJson = False,
    repo: _Repo = Path(),
) -> None:
    """Say how far newer rows have moved from those that were learnt from: PSI of each feature, and the target's rate.

    Advisory: it never fails. Rows of a day are not independent, so that nearly every feature moves beyond chance; look
    at the size of the index (0.1 is some, 0.25 is much).
    """
    from gitops_ml.retraining.drift import data_drift, monthly_drift

    if by_month:
        found = monthly_drift(repo, reference, rows, params)
        if as_json:
            print(render.as_json(found))
            return
        print(render.table(("MONTH", "ROWS", "TARGET", "MOVED MOST", "PSI"), [_month(one) for one in found]))
        return
    result = data_drift(repo, reference, rows, params)
    if as_json:
        print(render.as_json(result))
        return
    if result.target_before is not None:
        rates = (f"{_rate(result.target_before)} in {reference.name}", f"{_rate(result.target_now)} in {rows.name}")
        print(f"{result.target}: {', '.join(rates)}")
    print(render.table(("FEATURE", "PSI", "BY CHANCE", ""), [_line(one) for one in result.features]))


def _month(one: Month) -> tuple[str, ...]:
    most = (one.moved[0].column, f"{one.moved[0].index:.3f}") if one.moved else ("-", "-")
    return one.month, f"{one.rows:,}", _rate(one.target), *most


def _line(one: MovedColumn) -> tuple[str, str, str, str]:
    said = "much" if one.index >= 0.25 else "some" if one.index >= 0.1 else ""
    return one.column, f"{one.index:.4f}", f"{one.chance:.4f}", said if one.index > one.chance else ""


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
