"""`data`: check the schema and freshness of collected data, and how far it has drifted. For scheduled jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.cli.command import Commands
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.retraining.drift import Month, MovedColumn
    from gitops_ml.retraining.freshness import DataCheck

_Params = Annotated[Path, typer.Option(help="The parameters of the stages, in the clone.")]


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    data = Commands(help="Check the data that models are trained on.")
    data.command()(check)
    data.command()(drift)
    app.add_typer(data, name="data")


def check(
    raw: Annotated[Path, typer.Option(help="The folder that the ingest stage writes.")] = Path("data/raw"),
    params: _Params = Path("params.yaml"),
    now: Annotated[
        str | None,
        typer.Option(help="Judge freshness at this time; `clock` is the present. Else validate.freshness.now counts."),
    ] = None,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Check schema and freshness of the data that was collected. Exit 0 good, 1 not good: says what fixes it."""
    from gitops_ml.retraining.freshness import check_data

    result = check_data(repo, raw, params, now)
    documents.show(ok=result.ok, rows=result.rows, freshness=result.freshness, problems=result.problems)
    if output == "text":
        _show_check(result)
    for problem in result.problems:
        render.error(GitopsError(problem.what, why=problem.why, fix=problem.fix))
    if not result.ok:
        raise typer.Exit(1)


def _show_check(result: DataCheck) -> None:
    broken = {problem.table for problem in result.problems}
    for name, rows in result.rows.items():
        render.out(f"{render.paint('fail' if name in broken else 'pass')} {name}: {rows:,} rows")
    if result.freshness:
        fresh = result.freshness
        render.out(
            f"newest {fresh.table} {fresh.newest}, {fresh.age:.1f} days old at {fresh.now}; max_age {fresh.max_age}"
        )


def drift(
    reference: Annotated[Path, typer.Option(help="Rows that the model was trained on.")] = Path("data/train.parquet"),
    rows: Annotated[Path, typer.Option(help="Newer rows.")] = Path("data/holdout.parquet"),
    by_month: Annotated[bool, typer.Option("--by-month", help="Print one line for each month of both files.")] = False,
    time: Annotated[
        str | None, typer.Option(help="The column with each row's time; else train.time_column.", show_default=False)
    ] = None,
    params: _Params = Path("params.yaml"),
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Show how far newer rows differ from the training rows: PSI of each feature, and the rate of the target.

    The features are those of `train:` in params.yaml; without that section, all columns that both files have.

    Advisory: it never fails. Rows of one day are not independent, so nearly every feature differs by more than chance:
    look at the size of the index (0.1 is some, 0.25 is much).
    """
    from gitops_ml.retraining.drift import data_drift, monthly_drift

    if by_month:
        by_months = monthly_drift(repo, reference, rows, params, time)
        if output == "json":
            documents.show(months=by_months)
            return
        lines = [_month_line(month) for month in by_months]
        render.out(render.table(("MONTH", "ROWS", "TARGET", "MOVED MOST", "PSI"), lines))
        return
    result = data_drift(repo, reference, rows, params)
    if output == "json":
        documents.show_struct(result)
        return
    if result.target_before is not None:
        rates = (f"{_rate(result.target_before)} in {reference.name}", f"{_rate(result.target_now)} in {rows.name}")
        render.out(f"{result.target}: {', '.join(rates)}")
    lines = [_feature_line(feature) for feature in result.features]
    render.out(render.table(("FEATURE", "PSI", "BY CHANCE", ""), lines))


def _month_line(month: Month) -> tuple[str, ...]:
    most = (month.moved[0].column, f"{month.moved[0].index:.3f}") if month.moved else ("-", "-")
    return month.month, f"{month.rows:,}", _rate(month.target), *most


def _feature_line(feature: MovedColumn) -> tuple[str, str, str, str]:
    size = "much" if feature.index >= 0.25 else "some" if feature.index >= 0.1 else ""
    beyond_chance = feature.index > feature.chance
    return feature.column, f"{feature.index:.4f}", f"{feature.chance:.4f}", size if beyond_chance else ""


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
