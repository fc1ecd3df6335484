"""`trace`: from what serves back to the data, the code and the people that it comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.core.records.record import Record
    from gitops_ml.retraining.provenance import Step, Trace

_SHOWN = 16


class _Serving(NamedTuple):
    model: str
    version: str
    digest: str
    generation: str
    commit: str
    image: str | None


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(trace)


def trace(
    environment: Annotated[str, typer.Argument(help="The environment.")],
    deployment: Annotated[str, typer.Argument(help="The deployment: the name of its file.")],
    live: Annotated[bool, typer.Option(help="Ask the host what serves; else Git's record.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    repo: Annotated[Path, typer.Option("--repo", "-C", help="The clone to work in.", show_default=False)] = Path(),
) -> None:
    """Show where what serves comes from: version, tag, commit, data, parameters, checks, and who declared it."""
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.retraining import provenance

    with Repository.open(repo) as clone:
        serving, record = _serving(clone, environment, deployment, live)
        found = provenance.trace(clone, environment, deployment, record=record, **serving._asdict())
    if as_json:
        typer.echo(render.as_json(found))
        return
    _show(found)


def _serving(clone: Repository, environment: str, deployment: str, live: bool) -> tuple[_Serving, Record | None]:
    """What serves, by the host if it answers, else by the record. Raises `InputError` when nothing does."""
    from gitops_ml.clients.files.environments import read_environment
    from gitops_ml.clients.files.records import read_records
    from gitops_ml.control.target import Target
    from gitops_ml.control.view import Options
    from gitops_ml.errors import EngineMismatch, InputError, Temporary

    tip = clone.fetch()
    declared = read_environment(clone, tip, environment)
    record = read_records(clone, declared).get(deployment)
    if live:
        try:
            state = Target(clone, environment, render.progress).look(Options(), tip).state
        except (Temporary, EngineMismatch) as error:
            render.progress(f"the host does not say what serves, so the record does: {error.what}")
        else:
            found = state.of(deployment).serving
            if found is not None:
                names = (found.model, found.version, found.digest, found.fingerprint, found.commit, found.image_id)
                return _Serving(*names), record
    if record is None or record.serving is None:
        known = ", ".join(sorted(declared.deployments)) or "nothing"
        raise InputError(
            f"nothing serves as {environment}/{deployment}",
            why=f"neither the host nor a record knows it; declared there: {known}",
            fix=f"gitops-ml sync {environment}",
        )
    was = record.serving
    declaration = declared.deployments.get(deployment)
    model = declaration.model if declaration else deployment
    return _Serving(model, was.version, was.digest, was.generation, was.commit, was.image), record


def _show(found: Trace) -> None:
    _line(
        "serves",
        f"{found.environment}/{found.deployment}: {found.model} {found.version}, generation {found.generation}",
    )
    _line("digest", found.digest)
    _line("image", found.image)
    _line("tag", f"{found.tag} by {found.tagger}" if found.tag else found.missing or "none: another revision")
    _step("trained", found.trained)
    if found.learnt and found.learnt.get("from"):
        _line("learnt", f"{found.learnt['rows']:,} rows, {found.learnt['from']} to {found.learnt['to']}")
    _step("bumped", found.bumped)
    _step("deployed", found.declared)
    if found.attempt:
        checks = "; ".join(f"{check.name} {check.result}" for check in found.attempt.checks)
        _line("verdict", f"{found.attempt.verdict}, {(found.attempt.settled or '')[:19]} ({checks})")
    _several("data", found.made.data)
    _several("inputs", found.made.inputs)
    _several("parameters", found.made.params)


def _step(name: str, step: Step | None) -> None:
    _line(name, f"{step.commit[:12]} {step.at} by {step.author}: {step.subject}" if step else None)


def _line(name: str, value: str | None) -> None:
    if value:
        typer.echo(f"{name:<11}{value}")


def _several(name: str, values: dict[str, Any]) -> None:
    for number, (key, value) in enumerate(values.items()):
        if number == _SHOWN:
            typer.echo(f"{'':<11}and {len(values) - _SHOWN} more (--json)")
            return
        text = str(value)
        typer.echo(f"{name if not number else '':<11}{key} {text if len(text) <= 60 else text[:57] + '...'}")
