"""`trace`: from the serving generation back to its data, code, commits and their authors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import documents, options, render

if TYPE_CHECKING:
    from gitops_ml.retraining.provenance import Step, Trace

_SHOWN = 16


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(trace)


def trace(
    environment: options.Environment,
    deployment: options.Deployment,
    live: Annotated[bool, typer.Option(help="Ask the host what serves, instead of Git's record.")] = True,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Show where the serving model comes from, and who declared it.

    That is: version, tag, commit, data, parameters and checks.
    """
    from gitops_ml.cli.training.serving import find_serving
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.provenance import trace as trace_back

    with Repository.open(repo) as clone:
        serving, record = find_serving(clone, environment, deployment, live)
        result = trace_back(clone, environment, deployment, serving, record)
    if output == "json":
        documents.show_struct(result)
        return
    _show(result)


def _show(trace: Trace) -> None:
    _show_line(
        "serves",
        f"{trace.environment}/{trace.deployment}: {trace.model} {trace.version}, generation {trace.generation}",
    )
    _show_line("digest", trace.digest)
    _show_line("image", trace.image)
    _show_line("tag", f"{trace.tag} by {trace.tagger}" if trace.tag else trace.missing or "none: another revision")
    if trace.application:
        _show_line("application", trace.application.image or f"built from {trace.application.context}/")
        _show_step("changed", trace.application.changed)
    _show_step("trained", trace.trained)
    if trace.learnt and trace.learnt.get("from"):
        _show_line("learnt", f"{trace.learnt['rows']:,} rows, {trace.learnt['from']} to {trace.learnt['to']}")
    _show_step("bumped", trace.bumped)
    _show_step("deployed", trace.declared)
    if trace.attempt:
        checks = "; ".join(f"{check.name} {check.result}" for check in trace.attempt.checks)
        _show_line("verdict", f"{trace.attempt.verdict}, {(trace.attempt.settled or '')[:19]} ({checks})")
    _show_several("data", trace.made.data)
    _show_several("inputs", trace.made.inputs)
    _show_several("parameters", trace.made.params)


def _show_step(name: str, step: Step | None) -> None:
    _show_line(name, f"{step.commit[:12]} {step.at} by {step.author}: {step.subject}" if step else None)


def _show_line(name: str, value: str | None) -> None:
    if value:
        render.out(f"{name:<12}{value}")


def _show_several(name: str, values: dict[str, Any]) -> None:
    for number, (key, value) in enumerate(values.items()):
        if number == _SHOWN:
            render.out(f"{'':<12}and {len(values) - _SHOWN} more (-o json)")
            return
        text = str(value)
        render.out(f"{name if not number else '':<12}{key} {text if len(text) <= 60 else text[:57] + '...'}")
