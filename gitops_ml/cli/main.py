"""The command `gitops-ml`: which commands there are, and how errors leave the process."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from importlib import import_module

import typer

from gitops_ml import __version__
from gitops_ml.errors import GitopsError

MODULES = {
    "init": ("init",),
    "doctor.command": ("doctor",),
    "versions": ("register", "versions", "bump"),
    "promotion": ("promote", "rollback"),
    "deploy": ("plan", "sync", "status"),
    "agent": ("agent",),
    "verify": ("verify",),
    "history": ("history",),
    "holds": ("hold", "release"),
    "data": ("data",),
    "diff": ("diff",),
    "trace": ("trace",),
    "retrain": ("retrain",),
    "schema": ("schema",),
    "demo": ("demo",),
}
"""The commands of each module, in the order of the help."""


def application(command: str | None = None) -> typer.Typer:
    """The command line: with all commands, or with only the module of `command`, if there is one.

    Making the others takes some 30 ms, a fifteenth of a `sync` with nothing to do.
    """
    app = typer.Typer(
        name="gitops-ml",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    chosen = [module for module, commands in MODULES.items() if command in commands]
    for module in chosen or MODULES:
        import_module(f"gitops_ml.cli.{module}").add_to(app)
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gitops-ml {__version__}")
        raise typer.Exit


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
        application(sys.argv[1] if len(sys.argv) > 1 else None)()
    except GitopsError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0
