"""`trace`: from what serves, or a name of it, back to data, code, commits and authors; forwards to where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gitops_ml.cli import completion, documents, options, render
from gitops_ml.cli.command import VARIABLES

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.provenance import Step, Trace
    from gitops_ml.retraining.uses import Use

_SHOWN = 16


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(trace)


def trace(
    environment: Annotated[
        str,
        typer.Argument(
            metavar="ENVIRONMENT|NAME",
            help="The environment; or, alone, MODEL@VERSION, a container, an image, a generation, or the "
            "X-Request-Id of an answered request.",
            autocompletion=completion.environments,
        ),
    ],
    deployment: options.OneDeployment = None,
    live: Annotated[bool, typer.Option(help="Ask the host what serves, instead of Git's record.")] = True,
    output: Annotated[
        Literal["text", "json", "intoto", "cyclonedx"],
        typer.Option(
            "--output",
            "-o",
            help="text, json, intoto (SLSA provenance) or cyclonedx (an ML-BOM).",
            metavar="FORMAT",
            envvar=f"{VARIABLES}_OUTPUT",
            show_default=False,
        ),
    ] = "text",
    repo: options.Repo = Path(),
) -> None:
    """Show where a model comes from, who declared it, and where it runs.

    That is: version, tag, commit, data, parameters and checks.
    """
    import msgspec

    from gitops_ml.cli.training.subject import find_named, find_serving
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining.provenance import trace as trace_back
    from gitops_ml.retraining.uses import find_uses

    with Repository.open(repo) as clone:
        named = (
            find_serving(clone, environment, deployment, live) if deployment else find_named(clone, environment, live)
        )
        subject, record = named
        uses = find_uses(clone, subject.model, subject.version, subject.digest)
        result = msgspec.structs.replace(trace_back(clone, subject, record), uses=uses)
        if output == "json":
            documents.show_struct(result)
        elif output == "text":
            _show(result)
        else:
            render.out(documents.as_json(_as_standard(output, result, clone)))


def _as_standard(format: Literal["intoto", "cyclonedx"], result: Trace, clone: Repository) -> dict[str, Any]:
    from gitops_ml.retraining.attestation import source_uri, statement
    from gitops_ml.retraining.bill_of_materials import bill_of_materials

    url = clone.config.get(f"remote.{clone.remote}.url") if clone.remote else None
    source = source_uri(url or str(clone.root))
    return statement(result, source) if format == "intoto" else bill_of_materials(result, source)


def _show(trace: Trace) -> None:
    model = f"{trace.model} {trace.version}"
    if trace.generation:
        _show_line("generation", f"{trace.generation} of {trace.environment}/{trace.deployment}: {model}")
    else:
        _show_line("version", model)
    _show_line("digest", trace.digest)
    _show_line("image", trace.image)
    _show_line("tag", f"{trace.tag} by {trace.tagger}" if trace.tag else trace.missing or "none: another revision")
    if trace.application:
        _show_line("inside", trace.application.image or f"built from {trace.application.context}/")
        _show_step("changed", trace.application.changed)
    _show_step("trained", trace.trained)
    if trace.learnt and trace.learnt.get("from"):
        _show_line("learnt", f"{trace.learnt['rows']:,} rows, {trace.learnt['from']} to {trace.learnt['to']}")
    _show_step("bumped", trace.bumped)
    _show_step("deployed", trace.declared)
    if trace.attempt:
        checks = "; ".join(f"{check.name} {check.result}" for check in trace.attempt.checks)
        _show_line("verdict", f"{trace.attempt.verdict}, {(trace.attempt.settled or '')[:19]} ({checks})")
    for number, use in enumerate(trace.uses):
        _show_line("" if number else "used", _use(use))
    _show_several("data", trace.made.data)
    _show_several("inputs", trace.made.inputs)
    _show_several("parameters", trace.made.params)


def _use(use: Use) -> str:
    does = {"serves": "serves it", "declared": "declares it", "tried": "has tried it"}[use.state]
    judged = f": {use.outcome}, {use.verdict}, {(use.at or '')[:19]}" if use.outcome else ""
    return f"{use.environment}/{use.deployment} {does}{judged}"


def _show_step(name: str, step: Step | None) -> None:
    _show_line(name, f"{step.commit[:12]} {step.at} by {step.author}: {step.subject}" if step else None)


def _show_line(name: str, value: str | None) -> None:
    if value:
        render.out(f"{name:<11}{value}")


def _show_several(name: str, values: dict[str, Any]) -> None:
    for number, (key, value) in enumerate(values.items()):
        if number == _SHOWN:
            render.out(f"{'':<11}and {len(values) - _SHOWN} more (-o json)")
            return
        text = str(value)
        render.out(f"{name if not number else '':<11}{key} {text if len(text) <= 60 else text[:57] + '...'}")
