"""`history`: what was rolled out, with the figures that decided, as Git remembers it. Needs no engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import render

if TYPE_CHECKING:
    from gitops_ml.core.records.record import Record, RecordedAttempt


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(history)


def history(
    environment: Annotated[str, typer.Argument(help="The environment.")],
    deployment: Annotated[str | None, typer.Argument(help="Only this deployment.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to stdout.")] = False,
    fetch: Annotated[bool, typer.Option(help="Fetch the remote first.")] = True,
    repo: Annotated[str, typer.Option("--repo", help="The clone to read.", metavar="PATH")] = ".",
) -> None:
    """Show the attempts of an environment's deployments, newest first, with the checks that decided them."""
    from gitops_ml.clients.files.environments import read_environment
    from gitops_ml.clients.files.records import read_records
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.errors import InputError

    clone = Repository.open(repo)
    commit = clone.fetch() if fetch else clone.tip()
    found = read_records(clone, read_environment(clone, commit, environment))
    if deployment is not None:
        if deployment not in found:
            known = ", ".join(sorted(found)) or "none"
            raise InputError(
                f"{environment}/{deployment} has no record",
                why=f"recorded there: {known}",
                fix=f"gitops-ml sync {environment}",
            )
        found = {deployment: found[deployment]}
    if as_json:
        typer.echo(render.as_json(found))
        return
    for name in sorted(found):
        _show(environment, name, found[name])
    if not found:
        render.progress(f"{environment} has no records yet")


def _show(environment: str, name: str, record: Record) -> None:
    typer.echo(f"{environment}/{name}")
    for attempt in record.attempts:
        typer.echo(f"  {_when(attempt)}  {attempt.version}  {attempt.generation}  {_verdict(attempt)}")
        for check in attempt.checks:
            typer.echo(f"    {render.check_line(check)}")
        for line in attempt.logs:
            typer.echo(f"    | {line}")


def _when(attempt: RecordedAttempt) -> str:
    return (attempt.settled or attempt.started)[:19].replace("T", " ")


def _verdict(attempt: RecordedAttempt) -> str:
    instead = f", over {attempt.incumbent}" if attempt.incumbent else ""
    return (
        f"{render.paint(attempt.verdict)} ({attempt.strategy}, {attempt.outcome}{instead}) from {attempt.commit[:12]}"
    )
