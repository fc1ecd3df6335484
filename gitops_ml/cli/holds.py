"""`hold` and `release`: a person's stop on a deployment, with a reason and an end, in Git where all can see it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import edited


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(hold)
    app.command()(release)


def hold(
    environment: edited.Environment,
    deployment: edited.Deployment,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why, for whoever finds it.")],
    until: Annotated[str | None, typer.Option(help="Its end, such as 2026-12-01T08:00Z.", show_default=False)] = None,
    length: Annotated[
        str | None, typer.Option("--for", help="Its length, such as 2h or 3d.", show_default=False)
    ] = None,
    commit: edited.Commit = False,
    branch: edited.Branch = None,
    push: edited.Push = False,
    as_json: edited.AsJson = False,
    repo: edited.Repo = Path(),
) -> None:
    """Leave a deployment as it is, whatever is declared, until the hold ends; then the tip is taken up."""
    from gitops_ml.clients.edits import holds
    from gitops_ml.clients.edits.edit import CommitOptions
    from gitops_ml.clients.git.repository import Repository

    end = _end(until, length)
    with Repository.open(repo) as clone:
        done = holds.hold(
            clone, environment, deployment, reason=reason, until=end, options=CommitOptions(commit, branch, push)
        )
    line = f"held{f' until {end:%Y-%m-%d %H:%M} UTC' if end else ''}: {reason}"
    edited.show(done, line, environment, as_json=as_json, deployment=deployment, reason=reason, until=end)


def release(
    environment: edited.Environment,
    deployment: edited.Deployment,
    commit: edited.Commit = False,
    branch: edited.Branch = None,
    push: edited.Push = False,
    as_json: edited.AsJson = False,
    repo: edited.Repo = Path(),
) -> None:
    """Take a hold away."""
    from gitops_ml.clients.edits import holds
    from gitops_ml.clients.edits.edit import CommitOptions
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as clone:
        done = holds.release(clone, environment, deployment, options=CommitOptions(commit, branch, push))
    edited.show(done, "no longer held", environment, as_json=as_json, deployment=deployment)


def _end(until: str | None, length: str | None) -> datetime | None:
    """When a hold ends, in UTC, to the second. Raises `InputError` for what is no time."""
    from datetime import UTC, timedelta

    from gitops_ml.core.declaration.schema import seconds
    from gitops_ml.errors import InputError

    if until is not None and length is not None:
        raise InputError("--until and --for exclude each other", fix="give one of them")
    if length is not None:
        return (datetime.now(UTC) + timedelta(seconds=seconds(length))).replace(microsecond=0)
    if until is None:
        return None
    try:
        end = datetime.fromisoformat(until)
    except ValueError as error:
        raise InputError(f"`{until}` is no time", fix="write it like 2026-12-01T08:00Z, or --for 2h") from error
    # A time without a zone is the caller's: that is what the clock on their wall says.
    return end.astimezone(UTC).replace(microsecond=0)
