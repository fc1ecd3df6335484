"""`wait`: return when the verdict on the tip is in, for scripts that pushed a change which others roll out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops_ml.cli import documents, options, render
from gitops_ml.errors import InputError

if TYPE_CHECKING:
    from gitops_ml.control.wait import WaitResult

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
    from gitops_ml.cli.commands.deploy import show_statuses, status_json, visit, worst
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.control import wait as waiting
    from gitops_ml.control.environment.targets import list_targets, side_by_side
    from gitops_ml.control.environment.view import Options
    from gitops_ml.core.declaration.values import seconds

    pause = seconds(interval)
    if pause < SHORTEST_INTERVAL:
        raise InputError(f"--interval {interval} is too short", why="it is at least 1s", fix="--interval 5s")
    render.print_log()
    wait_for = partial(waiting.wait, deployment=deployment, timeout=seconds(timeout), interval=pause)
    with Repository.open(repo) as clone:
        targets = list_targets(clone, [environment], render.progress, Options())
        # All at once: what a host declares when the waiting begins is what is waited for.
        wait_for_all = partial(side_by_side, work=wait_for, at_once=len(targets))
        results, trouble = visit(targets, wait_for_all, named=True)
    documents.show(
        verdicts=waiting.worst_verdicts(settled.verdicts for settled in results),
        environments=[status_json(settled.view) for settled in results],
    )
    for settled in results:
        if output in ("text", "wide"):
            show_statuses(settled.view, settled.verdicts)
        _show_failures(settled)
    code = worst([*trouble, *(settled.exit_code for settled in results)])
    if code:
        raise typer.Exit(code)


def _show_failures(settled: WaitResult) -> None:
    for status in settled.statuses:
        place = f"{settled.view.desired.full_name}/{status.name}"
        if settled.verdicts[status.name] != status.verification:
            render.progress(f"{place}: the version that was waited for has failed, and was reverted")
        elif status.message:
            render.progress(f"{place}: {status.message}")
