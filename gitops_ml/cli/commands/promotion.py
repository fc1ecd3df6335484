"""`promote` and `rollback`: declare what was verified in the environment before, or what was verified here before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import completion, documents, edits, options, render
from gitops_ml.cli.command import ungrouped

if TYPE_CHECKING:
    from gitops_ml.cli.pull_request import EditPlace
    from gitops_ml.clients.edits.promotion import VersionChange
    from gitops_ml.clients.git.repository import Repository


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(ungrouped(promote))
    app.command()(ungrouped(rollback))


def promote(
    deployment: options.Deployment,
    to: Annotated[
        str, typer.Option("--to", help="The environment that gets the version.", autocompletion=completion.environments)
    ],
    create: Annotated[bool, typer.Option("--create", help="Write the declaration if there is none yet.")] = False,
    override: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Promote it against the rules; the commit says why.", show_default=False),
    ] = None,
    *,
    edit: options.Edit,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Declare the version that is Verified in the environment before.

    It must have soaked there, for as long as promotion.soak says, and run in the same runtime. With --override, what
    serves there is promoted all the same; where nothing does, what is declared there.
    """
    from gitops_ml.cli.pull_request import edit_place
    from gitops_ml.clients.edits import promotion
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as clone:
        place = edit_place(clone, edit, f"promote/{to}-{deployment}")
        moved = promotion.promote(
            clone, deployment, to, create=create, override=override, options=place.options, say=render.progress
        )
        for rule in moved.overridden:
            render.progress(f"overridden: {rule}")
        if override is not None and not moved.overridden:
            render.progress("no rule stands against it: nothing was overridden")
        _show(clone, moved, place, (to, deployment), output)


def rollback(
    environment: options.Environment,
    deployment: options.Deployment,
    to: Annotated[
        str | None,
        typer.Option("--to", help="A version that was Verified here.", show_default=False),
    ] = None,
    *,
    edit: options.Edit,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Declare what was Verified here before.

    That is the version, and everything else that its generation was made of.
    """
    from gitops_ml.cli.pull_request import edit_place
    from gitops_ml.clients.edits import promotion
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as clone:
        place = edit_place(clone, edit, f"rollback/{environment}-{deployment}")
        moved = promotion.rollback(clone, environment, deployment, to=to, options=place.options)
        _show(clone, moved, place, (environment, deployment), output)


def _show(repo: Repository, moved: VersionChange, place: EditPlace, target: tuple[str, str], output: str) -> None:
    environment, deployment = target
    url = place.propose(repo, moved.written, environment)
    if output == "json":
        fields = moved._asdict()
        del fields["written"]
        documents.show(**edits.as_dict(moved.written, environment, deployment=deployment, pull_request=url, **fields))
        return
    was = f" (was {moved.before})" if moved.before and moved.before != moved.version else ""
    edits.show(repo, moved.written, f"{moved.version} {moved.digest}{was}", environment, url)
