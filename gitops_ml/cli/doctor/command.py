"""`doctor`: what is there, what is missing, and the command that fixes it. It changes nothing of yours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.cli.findings import Finding


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(doctor)


def doctor(
    environment: Annotated[str | None, typer.Argument(help="Only this environment and its engine.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    repo: Annotated[str, typer.Option("--repo", help="The clone to look at.", metavar="PATH")] = ".",
) -> None:
    """Look at this machine, the clone, its files and the engines; exit 1 when something that is needed is missing.

    On each engine it starts one short-lived container, to see that containers start, how full the disk is, and whether
    the gateway's port is free.
    """
    found = []
    for finding in examine(repo, environment):
        found.append(finding)
        if not as_json:
            typer.echo(finding.line())
    missing = [f for f in found if f.state == "missing"]
    if as_json:
        typer.echo(render.as_json({"ok": not missing, "findings": found}))
    if missing:
        raise typer.Exit(1)


def examine(path: str, environment: str | None) -> Iterator[Finding]:
    """Everything that can be looked at, in the order in which one thing needs the other."""
    from gitops_ml.cli.doctor import clone as doctor_clone
    from gitops_ml.cli.doctor import engine
    from gitops_ml.cli.findings import missing
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.errors import GitopsError

    yield from doctor_clone.machine()
    try:
        clone = Repository.open(path)
    except GitopsError as error:
        yield missing("repository", error)
        return
    with clone:
        yield from doctor_clone.clone(clone)
        found, declared = doctor_clone.declared(clone, environment)
        yield from found
        yield from engine.engines(clone, declared)
