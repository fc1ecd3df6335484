"""`demo`: the whole line, told as a story that really happens.

Everything is done in a scratch clone under a project name of its own, so that it touches nothing of the user's. Each
chapter holds what happened against what it tells; the first difference ends the demo with exit code 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SOURCE = Path(__file__).parents[3]
"""The clone that this command was installed from."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)


def demo(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what the last demo left, and end.")] = False,
    chapters: Annotated[int, typer.Option(help="End after so many chapters, with how things stand then.", min=1)] = 6,
    repo: Annotated[
        Path,
        typer.Option(
            "--repo",
            help="The clone of gitops-ml to tell it with; this one if none.",
            metavar="PATH",
            show_default=False,
        ),
    ] = SOURCE,
    project: Annotated[
        str, typer.Option(help="Its name on the engine; it begins with gitops-ml-demo.", metavar="NAME")
    ] = "gitops-ml-demo",
) -> None:
    """Watch models go from a commit to verified serving, and bad ones be caught: on real data, in a scratch clone."""
    from gitops_ml.cli.demo import ground
    from gitops_ml.cli.demo.narrator import Narrator
    from gitops_ml.cli.demo.story import tell

    where = ground.find(repo, project)
    with ground.alone(where):
        ground.clear(where)
        if remove:
            typer.echo(f"nothing of {project} is left; the images stay on the engine, for the next one")
            return
        where.folder.mkdir()
        with Narrator(where.log) as narrator:
            tell(where, narrator, chapters)
