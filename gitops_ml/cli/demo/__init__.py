"""`demo`: a guided tour of all steps, on real data, as a story in chapters.

It works in a scratch clone under its own project name, and touches nothing of the user's. Each chapter checks that what
happened is what it tells; the first difference ends the demo with exit code 1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import render

SOURCE = Path(__file__).parents[3]
"""The clone that this command was installed from."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)


def demo(
    remove: Annotated[bool, typer.Option("--remove", help="Remove what the last demo left, and stop.")] = False,
    chapters: Annotated[int, typer.Option(help="Stop after this many chapters.", min=1)] = 6,
    repo: Annotated[
        Path,
        typer.Option(
            "--repo",
            "-C",
            help="The clone of gitops-ml to use; else this one.",
            metavar="PATH",
            show_default=False,
        ),
    ] = SOURCE,
    project: Annotated[
        str, typer.Option(help="The demo's name on the engine; begins with gitops-ml-demo.", metavar="NAME")
    ] = "gitops-ml-demo",
) -> None:
    """Watch models go from commit to users, and bad ones get caught.

    On real data, in a scratch clone.
    """
    from gitops_ml.cli.demo import place
    from gitops_ml.cli.demo.narrator import Narrator
    from gitops_ml.cli.demo.story import tell

    where = place.find(repo, project)
    with place.alone(where):
        place.clear(where)
        if remove:
            render.out(f"nothing of {project} is left; its images stay on the engine, for the next demo")
            return
        where.folder.mkdir()
        try:
            with Narrator(where.log) as narrator:
                tell(where, narrator, chapters)
        except KeyboardInterrupt:
            render.progress(f"stopped: containers of {project} may still run, and nothing removes them by itself")
            render.progress(f"next: {where.removal}")
            raise
