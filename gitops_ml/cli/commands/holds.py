"""`hold` and `release`: stop changes to a deployment, with a reason and an end, in Git where everybody sees it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import documents, edits, options
from gitops_ml.cli.command import ungrouped
from gitops_ml.errors import InputError


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(ungrouped(hold))
    app.command()(ungrouped(release))


def hold(
    environment: options.Environment,
    deployment: options.Deployment,
    reason: Annotated[str, typer.Option("--reason", "-r", help="Why, for whoever finds the hold.")],
    until: Annotated[
        str | None, typer.Option(help="When the hold ends, such as 2026-12-01T08:00Z.", show_default=False)
    ] = None,
    length: Annotated[
        str | None, typer.Option("--for", help="How long the hold lasts, such as 2h or 3d.", show_default=False)
    ] = None,
    *,
    edit: options.Edit,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Leave a deployment as it is until the hold ends.

    Whatever Git declares meanwhile; then the tip is rolled out.
    """
    from gitops_ml.cli.pull_request import edit_place
    from gitops_ml.clients.edits import holds
    from gitops_ml.clients.git.repository import Repository

    end = _end(until, length)
    with Repository.open(repo) as clone:
        place = edit_place(clone, edit, f"hold/{environment}-{deployment}")
        written = holds.hold(clone, environment, deployment, reason=reason, until=end, options=place.options)
        url = place.propose(clone, written, environment)
        if output == "json":
            fields = {"deployment": deployment, "reason": reason, "until": end, "pull_request": url}
            documents.show(**edits.as_dict(written, environment, **fields))
        else:
            summary = f"held{f' until {end:%Y-%m-%d %H:%M} UTC' if end else ''}: {reason}"
            edits.show(clone, written, summary, environment, url)


def release(
    environment: options.Environment,
    deployment: options.Deployment,
    *,
    edit: options.Edit,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Remove a hold."""
    from gitops_ml.cli.pull_request import edit_place
    from gitops_ml.clients.edits import holds
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as clone:
        place = edit_place(clone, edit, f"release/{environment}-{deployment}")
        written = holds.release(clone, environment, deployment, options=place.options)
        url = place.propose(clone, written, environment)
        if output == "json":
            documents.show(**edits.as_dict(written, environment, deployment=deployment, pull_request=url))
        else:
            edits.show(clone, written, "no longer held", environment, url)


def _end(until: str | None, length: str | None) -> datetime | None:
    """When a hold ends, in UTC, to the second; None if it has no end. Raises `InputError` if that is not a time."""
    from gitops_ml.core.declaration.values import seconds

    if until is not None and length is not None:
        raise InputError("--until and --for exclude each other", fix="give one of them")
    if length is not None:
        return (datetime.now(UTC) + timedelta(seconds=seconds(length))).replace(microsecond=0)
    if until is None:
        return None
    try:
        end = datetime.fromisoformat(until)
    except ValueError as error:
        raise InputError(f"`{until}` is not a time", fix="write it like 2026-12-01T08:00Z, or --for 2h") from error
    # A time without a zone is local time, as on the caller's clock.
    return end.astimezone(UTC).replace(microsecond=0)
