"""`history`: the rollout attempts that Git has recorded, with the figures that decided them. Needs no engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.errors import InputError

if TYPE_CHECKING:
    from gitops_ml.core.records.record import Record, RecordedAttempt


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(history)


def history(
    environment: options.Environment,
    deployment: options.OneDeployment = None,
    output: options.Output = "text",
    fetch: Annotated[bool, typer.Option(help="Fetch the remote first.")] = True,
    repo: options.Repo = Path(),
) -> None:
    """Show the recorded attempts, with the checks that decided them."""
    from gitops_ml.clients.edits.overrides import override_at
    from gitops_ml.clients.files.environments import read_environment
    from gitops_ml.clients.files.records import read_records
    from gitops_ml.clients.git.repository import Repository

    clone = Repository.open(repo)
    commit = clone.fetch() if fetch else clone.tip()
    files = read_environment(clone, commit, environment)
    records = read_records(clone, files)
    if deployment is not None:
        if deployment not in records:
            raise InputError(
                f"{environment}/{deployment} has no record",
                why=f"recorded there: {', '.join(sorted(records)) or 'none'}",
                fix=f"gitops-ml sync {environment}",
            )
        records = {deployment: records[deployment]}
    declared = {(name, attempt.commit) for name, record in records.items() for attempt in record.attempts}
    reasons = {(name, commit): override_at(clone, files.name, name, commit) for name, commit in declared}
    overrides = {
        attempt.id: reason
        for name, record in records.items()
        for attempt in record.attempts
        if (reason := reasons[name, attempt.commit])
    }
    if output == "json":
        documents.show(environment=environment, records=records, overrides=overrides)
        return
    for name in sorted(records):
        _show(environment, name, records[name], overrides)
    if not records:
        render.progress(f"{environment} has no records yet")


def _show(environment: str, name: str, record: Record, overrides: Mapping[str, str]) -> None:
    render.out(f"{environment}/{name}")
    for attempt in record.attempts:
        render.out(f"  {_when(attempt)}  {attempt.version}  {attempt.generation}  {_verdict(attempt)}")
        if reason := overrides.get(attempt.id):
            render.out(f"    promoted by override: {reason}")
        for check in attempt.checks:
            render.out(f"    {render.check_line(check)}")
        for line in attempt.logs:
            render.out(f"    | {line}")


def _when(attempt: RecordedAttempt) -> str:
    return (attempt.settled or attempt.started)[:19].replace("T", " ")


def _verdict(attempt: RecordedAttempt) -> str:
    instead = f", over {attempt.incumbent}" if attempt.incumbent else ""
    return (
        f"{render.paint(attempt.verdict)} ({attempt.strategy}, {attempt.outcome}{instead}) from {attempt.commit[:12]}"
    )
