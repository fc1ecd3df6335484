"""`agent`: sync that never ends."""

from __future__ import annotations

from typing import Annotated

import typer

from gitops_ml.cli import render


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(agent)


def agent(
    environments: Annotated[
        list[str] | None, typer.Argument(help="Environments; all that the tip declares if none.")
    ] = None,
    interval: Annotated[str, typer.Option(help="How long to wait where there is nothing to do.")] = "30s",
    repo: Annotated[str, typer.Option("--repo", help="The clone to read.", metavar="PATH")] = ".",
) -> None:
    """Keep the host matching Git: reconcile again and again until SIGTERM or Ctrl-C."""
    import signal
    import threading

    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control import agent as loop
    from gitops_ml.control.target import targets
    from gitops_ml.control.view import Options
    from gitops_ml.core.declaration.schema import seconds

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    clone = Repository.open(repo)
    named = targets(clone, environments or [], render.progress, Options())
    loop.run(named, seconds(interval), stop, render.progress)
