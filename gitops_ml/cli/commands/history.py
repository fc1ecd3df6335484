"""`history`: the rollout attempts that Git has recorded, with the figures that decided them. Needs no engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.errors import InputError

if TYPE_CHECKING:
    from gitops_ml.clients.files.environments import EnvironmentFiles
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
    """Show the recorded attempts, their hosts, and what decided each."""
    from gitops_ml.clients.edits.overrides import override_at
    from gitops_ml.clients.files.environments import read_environment
    from gitops_ml.clients.files.records import read_attempts, read_records
    from gitops_ml.clients.git.repository import Repository

    clone = Repository.open(repo)
    commit = clone.fetch() if fetch else clone.tip()
    files = read_environment(clone, commit, environment)
    attempts = read_attempts(clone, files)
    if deployment is not None:
        if deployment not in attempts:
            raise InputError(
                f"{environment}/{deployment} has no record",
                why=f"recorded there: {', '.join(sorted(attempts)) or 'none'}",
                fix=f"gitops-ml sync {environment}",
            )
        attempts = {deployment: attempts[deployment]}
    declared = {(name, attempt.commit) for name, listed in attempts.items() for _, attempt in listed}
    reasons = {(name, commit): override_at(clone, files.name, name, commit) for name, commit in declared}
    overrides = {
        attempt.id: reason
        for name, listed in attempts.items()
        for _, attempt in listed
        if (reason := reasons[name, attempt.commit])
    }
    if output == "json":
        records = read_records(clone, files)
        told = {name: _json(name, records.get(name), listed) for name, listed in attempts.items()}
        documents.show(environment=environment, records=told, overrides=overrides)
        return
    for name in sorted(attempts):
        _show(files, name, attempts[name], overrides)
    if not attempts:
        render.progress(f"{environment} has no records yet")


def _json(name: str, record: Record | None, attempts: Sequence[tuple[str, RecordedAttempt]]) -> dict[str, Any]:
    """The record with all attempts. Without one, the attempts are those of hosts that are declared no more."""
    import msgspec

    from gitops_ml.core.records.record import Record

    record = record or Record(schema=1, deployment=name, engine="", verdict="Unverified", serving=None, verified=None)
    listed = [msgspec.to_builtins(attempt) | {"host": host or None} for host, attempt in attempts]
    return {**msgspec.to_builtins(record), "attempts": listed}


def _show(
    files: EnvironmentFiles,
    name: str,
    attempts: Sequence[tuple[str, RecordedAttempt]],
    overrides: Mapping[str, str],
) -> None:
    render.out(f"{files.full_name}/{name}")
    for host, attempt in attempts:
        on = f" on {host}" if host and not files.host else ""
        render.out(f"  {_when(attempt)}  {attempt.version}  {attempt.generation}{on}  {_verdict(attempt)}")
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
