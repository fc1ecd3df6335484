"""`diff`: what changed between two versions of a model, from its data to the predictions that flip."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import completion, documents, options, render

if TYPE_CHECKING:
    from gitops_ml.core.verification.model_difference import Difference, Predictions, Side

_SHOWN = 8
"""How many names or slices are listed."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("diff")(diff)


def diff(
    model: options.Model,
    a: Annotated[str, typer.Argument(help="Version A, or any Git revision.", autocompletion=completion.versions)],
    b: Annotated[
        str, typer.Argument(help="Version B, or any Git revision.", autocompletion=completion.versions)
    ] = "latest",
    rows: Annotated[
        str | None,
        typer.Option(help="Rows for both models, from B's commit; else those that judge them.", show_default=False),
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="The column whose equal values mark dependent rows.", show_default=False)
    ] = None,
    predictions: Annotated[bool, typer.Option(help="Compare predictions, with each model in a container.")] = True,
    engine: Annotated[
        str | None, typer.Option(help="The engine for the containers; else DOCKER_HOST or the local one.")
    ] = None,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Allow joblib files to be loaded in the containers.")
    ] = False,
    output: options.Report = "text",
    repo: options.Repo = Path(),
) -> None:
    """Show what changed between two versions, down to the predictions.

    That is: data, parameters, code, dependencies, metrics, and the answers of both models to the same rows.
    """
    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.difference import difference
    from gitops_ml.retraining.predictions import RowsToAsk

    def connect() -> Engine:
        return Engine.connect(engine)

    with Repository.open(repo) as clone:
        asked = RowsToAsk(data=rows, group=group, allow_pickle=allow_pickle)
        result = difference(clone, model, (a, b), connect if predictions else None, asked)
    if output == "json":
        documents.show_struct(result)
    elif output == "markdown":
        from gitops_ml.core.pull_request.facts import ModelFacts
        from gitops_ml.core.pull_request.model_section import model_section

        facts = ModelFacts(model=model, before=a, after=result.b.version, difference=result)
        render.out("\n\n".join(filter(None, model_section(facts))))
    else:
        _show(result)


def _show(result: Difference) -> None:
    render.out(result.model)
    head = ("", "VERSION", "COMMIT", "DIGEST", "TRAINED ON", "ROWS")
    render.show_table(head, [_side_row("A", result.a), _side_row("B", result.b)], spare=("COMMIT", "DIGEST"))
    _show_pairs("metrics, each on its own held-out rows", result.metrics, absent="metrics" in result.absent)
    _show_pairs("parameters", result.params, absent="params" in result.absent)
    _show_pairs("data", result.data, absent="data" in result.absent)
    for path, kinds in result.files.items():
        for kind, names in kinds.items():
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            render.out(f"    {path}: {kind} {', '.join(names[:_SHOWN])}{more}")
    _show_pairs("code", result.code, absent="code" in result.absent)
    _show_pairs("dependencies", result.dependencies, absent="dependencies" in result.absent)
    if result.predictions:
        _show_predictions(result.predictions)
    elif result.unanswered:
        render.progress(f"predictions were not compared: {result.unanswered}")


def _side_row(name: str, side: Side) -> tuple[str, ...]:
    learnt = " to ".join(str(end)[:10] for end in side.learnt) if side.learnt and side.learnt[0] else "-"
    rows = "-" if side.rows is None else f"{side.rows:,}"
    return name, side.version[:20], side.commit[:12], side.digest[:16], learnt, rows


def _show_pairs(title: str, pairs: dict[str, Any], *, absent: bool) -> None:
    if not pairs:
        render.out(f"{title}: {'neither has any' if absent else 'the same'}")
        return
    render.out(f"{title}:")
    from gitops_ml.core.verification.model_difference import change_text, value_text

    for key, (before, after) in pairs.items():
        change = change_text(before, after)
        render.out(f"    {key}: {value_text(before)} -> {value_text(after)}{f' ({change})' if change else ''}")


def _show_predictions(predictions: Predictions) -> None:
    flips = predictions.flips
    render.out(f"predictions, both on the {predictions.rows:,} rows of B's {predictions.data}:")
    if flips is not None:
        judged = ""
        if predictions.right is not None:
            judged = f"; {predictions.right:,} become right, {predictions.wrong:,} wrong"
        render.out(f"    {flips:,} answers flip ({predictions.change:.2%}){judged}")
    else:
        render.out(f"    answers differ by {predictions.change:.4g} on average")
    if predictions.shift is not None:
        render.out(f"    mean of B minus A: {predictions.shift:+.4f}")
    for check in predictions.checks:
        figures = check.figures
        if "gain" in figures:
            ends = f"{figures['gain_low']:+.4f} to {figures['gain_high']:+.4f}"
            both = f"A {figures['incumbent']:.4f}, B {figures['candidate']:.4f}"
            render.out(f"    {check.name.removeprefix('holdout ')}: {both}; B's gain {ends} (95 %)")
        else:
            render.out(f"    not scored: {check.reason}")
    lines = [
        (
            f"    {part.column}",
            part.value,
            f"{part.rows:,}",
            f"{part.change:.4g}" if flips is None else f"{part.change:.1%}",
            "-" if part.shift is None else f"{part.shift:+.3f}",
        )
        for part in predictions.slices[:_SHOWN]
    ]
    if lines and predictions.change:
        render.out("  where most changes:")
        render.out(render.table(("    COLUMN", "VALUE", "ROWS", "CHANGE", "B - A"), lines))
