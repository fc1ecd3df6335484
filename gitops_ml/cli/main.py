"""The command `gitops-ml`: which commands there are, and how errors leave the process."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

import typer

from gitops_ml import __version__
from gitops_ml.cli import (
    agent,
    data,
    demo,
    deploy,
    diff,
    doctor,
    history,
    holds,
    init,
    promotion,
    retrain,
    schema,
    trace,
    verify,
    versions,
)
from gitops_ml.errors import GitopsError

app = typer.Typer(
    name="gitops-ml",
    help="Git-native continuous delivery of machine-learning models: Git declares, a Docker host runs, data judges.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    init,
    doctor,
    versions,
    promotion,
    deploy,
    agent,
    verify,
    history,
    holds,
    data,
    diff,
    trace,
    retrain,
    schema,
    demo,
):
    module.add_to(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gitops-ml {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Git-native continuous delivery of machine-learning models: Git declares, a Docker host runs, data judges."""


def main() -> None:
    """Run the command line, and end the process with its exit code. A `GitopsError` is printed to stderr first.

    The process ends as soon as all is said: what is left to collect would take a twentieth of a second, and a thread of
    a numeric library that is still there when C++ cleans up aborts the process, as one of 40 runs of `data check` did.
    """
    code = _run()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a reader that has gone, as of `gitops-ml status | head -1`
            stream.flush()
    os._exit(code)


def _run() -> int:
    try:
        app()
    except GitopsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
