"""`promote` and `rollback`: a declaration goes forward to what was verified elsewhere, or back to what was here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import edited, render

if TYPE_CHECKING:
    from gitops_ml.clients.edits.promotion import VersionChange


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(promote)
    app.command()(rollback)


def promote(
    deployment: edited.Deployment,
    to: Annotated[str, typer.Option("--to", help="The environment that gets it.")],
    create: Annotated[bool, typer.Option("--create", help="Write the declaration if it is absent.")] = False,
    commit: edited.Commit = False,
    branch: edited.Branch = None,
    push: edited.Push = False,
    as_json: edited.AsJson = False,
    repo: edited.Repo = Path(),
) -> None:
    """Declare in an environment the version that stands Verified in the one before it, and has soaked there."""
    from gitops_ml.clients.edits import promotion
    from gitops_ml.clients.edits.edit import CommitOptions
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as clone:
        options = CommitOptions(commit, branch, push)
        done = promotion.promote(clone, deployment, to, create=create, options=options, say=render.progress)
    _show(done, to, deployment, as_json=as_json)


def rollback(
    environment: edited.Environment,
    deployment: edited.Deployment,
    to: Annotated[
        str | None, typer.Option("--to", help="A version that was Verified here.", show_default=False)
    ] = None,
    commit: edited.Commit = False,
    branch: edited.Branch = None,
    push: edited.Push = False,
    as_json: edited.AsJson = False,
    repo: edited.Repo = Path(),
) -> None:
    """Declare what was Verified here before: its version, and all else that a generation is made of."""
    from gitops_ml.clients.edits import promotion
    from gitops_ml.clients.edits.edit import CommitOptions
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as clone:
        done = promotion.rollback(clone, environment, deployment, to=to, options=CommitOptions(commit, branch, push))
    _show(done, environment, deployment, as_json=as_json)


def _show(done: VersionChange, environment: str, deployment: str, *, as_json: bool) -> None:
    was = f" (was {done.before})" if done.before and done.before != done.version else ""
    edited.show(
        done.written,
        f"{done.version} {done.digest}{was}",
        environment,
        as_json=as_json,
        deployment=deployment,
        version=done.version,
        digest=done.digest,
        before=done.before,
        source=done.source,
    )
