"""`diff`: what changed between two versions of a model, down to which answers flip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.retraining.difference import Difference, Side
    from gitops_ml.retraining.predictions import Predictions

_SHOWN = 8


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("diff")(diff)


def diff(
    model: Annotated[str, typer.Argument(help="A name under artifacts: in dvc.yaml.")],
    a: Annotated[str, typer.Argument(help="The one version: a version, or any revision.")],
    b: Annotated[str, typer.Argument(help="The other one.")] = "latest",
    rows: Annotated[
        str | None, typer.Option(help="Rows to ask both, as B's commit has them; else the gate's.", show_default=False)
    ] = None,
    group: Annotated[str | None, typer.Option(help="Their column of dependent rows.", show_default=False)] = None,
    predictions: Annotated[bool, typer.Option(help="Ask both models, each in a container.")] = True,
    engine: Annotated[
        str | None, typer.Option(help="The engine that they run on; else DOCKER_HOST or the local one.")
    ] = None,
    allow_pickle: Annotated[bool, typer.Option("--allow-pickle", help="Let joblib files be loaded there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    repo: Annotated[Path, typer.Option("--repo", "-C", help="The clone to work in.", show_default=False)] = Path(),
) -> None:
    """Show what changed between two versions: data, parameters, code, dependencies, metrics, and predictions."""
    from contextlib import nullcontext

    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.difference import difference
    from gitops_ml.retraining.predictions import RowsToAsk

    if predictions:
        from gitops_ml.clients.engine.client import Engine

    with Repository.open(repo) as clone, Engine.connect(engine) if predictions else nullcontext() as docker:
        asked = RowsToAsk(data=rows, group=group, allow_pickle=allow_pickle)
        found = difference(clone, model, (a, b), docker, asked)
    if as_json:
        typer.echo(render.as_json(found))
        return
    _show(found)


def _show(found: Difference) -> None:
    typer.echo(f"{found.model}")
    typer.echo(
        render.table(
            ("", "VERSION", "COMMIT", "DIGEST", "LEARNT FROM", "ROWS"), [_side("A", found.a), _side("B", found.b)]
        )
    )
    _pairs("metrics, each on its own held-out rows", found.metrics)
    _pairs("parameters", found.params)
    _pairs("data", found.data)
    for path, kinds in found.files.items():
        for kind, names in kinds.items():
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            typer.echo(f"    {path}: {kind} {', '.join(names[:_SHOWN])}{more}")
    _pairs("code", found.code)
    _pairs("dependencies", found.dependencies)
    if found.predictions:
        _show_predictions(found.predictions)
    elif found.unanswered:
        render.progress(f"predictions were not compared: {found.unanswered}")


def _side(name: str, side: Side) -> tuple[str, ...]:
    learnt = " to ".join(str(end)[:10] for end in side.learnt) if side.learnt and side.learnt[0] else "-"
    rows = "-" if side.rows is None else f"{side.rows:,}"
    return name, side.version[:20], side.commit[:12], side.digest[:16], learnt, rows


def _pairs(title: str, pairs: dict[str, Any]) -> None:
    if not pairs:
        typer.echo(f"{title}: the same")
        return
    typer.echo(f"{title}:")
    for key, (before, after) in pairs.items():
        typer.echo(f"    {key}: {_value(before)} -> {_value(after)}{_change(before, after)}")


def _value(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else "none" if value is None else str(value)
    text = text[:16] if text.startswith("md5:") else text
    return text if len(text) <= 60 else f"{text[:57]}..."


def _change(before: Any, after: Any) -> str:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (before, after))
    return f" ({after - before:+.4g})" if numbers else ""


def _show_predictions(found: Predictions) -> None:
    typer.echo(f"predictions, both on the {found.rows:,} rows of B's {found.data}:")
    if found.flips is not None:
        judged = f"; {found.right:,} become right, {found.wrong:,} wrong" if found.right is not None else ""
        typer.echo(f"    {found.flips:,} answers flip ({found.change:.2%}){judged}")
    else:
        typer.echo(f"    answers differ by {found.change:.4g} on average")
    if found.shift is not None:
        typer.echo(f"    mean of B minus A: {found.shift:+.4f}")
    for check in found.checks:
        figures = check.figures
        if "gain" in figures:
            ends = f"{figures['gain_low']:+.4f} to {figures['gain_high']:+.4f}"
            both = f"A {figures['incumbent']:.4f}, B {figures['candidate']:.4f}"
            typer.echo(f"    {check.name.removeprefix('holdout ')}: {both}; B's gain {ends} (95 %)")
        else:
            typer.echo(f"    not scored: {check.reason}")
    percent = found.flips is not None
    lines = [
        (
            one.column,
            one.value,
            f"{one.rows:,}",
            f"{one.change:.1%}" if percent else f"{one.change:.4g}",
            "-" if one.shift is None else f"{one.shift:+.3f}",
        )
        for one in found.slices[:_SHOWN]
    ]
    if lines and found.change:
        typer.echo("  where most changes:")
        typer.echo(
            render.table(
                ("    COLUMN", "VALUE", "ROWS", "CHANGE", "B - A"), [(f"    {c}", *rest) for c, *rest in lines]
            )
        )
