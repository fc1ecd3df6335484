"""`wait`: return when the verdict on the tip is in, for scripts that pushed a change which others roll out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.errors import InputError

SHORTEST_INTERVAL = 1.0


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(wait)


def wait(
    environment: options.Environment,
    deployment: options.OneDeployment = None,
    timeout: Annotated[str, typer.Option(help="How long to wait at most.")] = "30m",
    interval: Annotated[str, typer.Option(help="How long to wait between two looks.")] = "5s",
    output: options.TableOrEvents = "text",
    repo: options.Repo = Path(),
) -> None:
    """Wait until the verdict on the tip is in, and change nothing.

    An agent, a job or another person rolls it out. Exit 0 what is declared serves, 1 error or no verdict in time, 3
    verification failed, also if the version was reverted, 4 inconclusive or on hold.
    """
    from gitops_ml.cli.commands.deploy import show_statuses, status_json
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control import wait as waiting
    from gitops_ml.control.environment.target import Target
    from gitops_ml.core.declaration.values import seconds

    pause = seconds(interval)
    if pause < SHORTEST_INTERVAL:
        raise InputError(f"--interval {interval} is too short", why="it is at least 1s", fix="--interval 5s")
    render.print_log()
    with Repository.open(repo) as clone:
        target = Target(clone, environment, render.progress)
        settled = waiting.wait(target, deployment, timeout=seconds(timeout), interval=pause)
    documents.show(verdicts=settled.verdicts, environments=[status_json(settled.view)])
    if output in ("text", "wide"):
        show_statuses(settled.view, settled.verdicts)
    for status in settled.statuses:
        if settled.verdicts[status.name] != status.verification:
            render.progress(
                f"{environment}/{status.name}: the version that was waited for has failed, and was reverted"
            )
        elif status.message:
            render.progress(f"{environment}/{status.name}: {status.message}")
    if settled.exit_code:
        raise typer.Exit(settled.exit_code)
