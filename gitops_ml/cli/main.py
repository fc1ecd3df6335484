"""The command `gitops-ml`: which commands there are, and how errors leave the process."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from importlib import import_module

import typer

from gitops_ml import __version__
from gitops_ml.cli import render, streams
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
    "training.data": ("data",),
    "training.diff": ("diff",),
    "training.trace": ("trace",),
    "training.retrain": ("retrain",),
    "schema": ("schema",),
    "demo": ("demo",),
}
"""The commands of each module, in the order of the help."""

CHANGING = frozenset(
    ("init", "register", "bump", "promote", "rollback", "sync", "agent", "verify", "hold", "release", "retrain", "demo")
)
"""Commands that change Git or a host. The others only print."""


def application(command: str | None = None) -> typer.Typer:
    """Build the command line: only the module that has `command`, or all of them if none has.

    Building all of them takes some 30 ms, a fifteenth of a `sync` with nothing to do.
    """
    app = typer.Typer(
        name="gitops-ml",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    modules = [module for module, commands in MODULES.items() if command in commands]
    for module in modules or MODULES:
        import_module(f"gitops_ml.cli.{module}").add_to(app)
    return app


def _show_version(requested: bool) -> None:
    if requested:
        render.out(f"gitops-ml {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Git-native continuous delivery of machine-learning models: Git declares, a Docker host runs, data judges."""


def main() -> None:
    """Run the command line, and end the process with its exit code.

    The process ends without Python's clean-up: a thread of a numeric library that still runs while C++ cleans up aborts
    the process, as happened in 1 of 40 runs of `data check`. It also costs time: with the clean-up, `--help` takes 1.3
    times as much CPU time, `status` 1.26 times. Functions registered with `atexit` run, since they remove files.
    """
    streams.protect()
    # CI and systemd end a job with SIGTERM, a closed terminal with SIGHUP: end as for Ctrl-C, with what was started.
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)
    code = _run(sys.argv[1:])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(arguments: list[str]) -> int:
    """Run one command line. Returns its exit code.

    Output that could not be written, as on a full disk, is an error. Where the output is the result, the exit code is
    then 1; a command that changes something keeps the exit code of the change.
    """
    command = arguments[0] if arguments else None
    code = _invoke(command, arguments)
    failure = streams.lost_output()
    if failure is None:
        return code
    problem = GitopsError("stdout could not be written", why=failure.strerror or "", fix="send the output elsewhere")
    render.error(problem)
    return code or int(command not in CHANGING)


def _invoke(command: str | None, arguments: list[str]) -> int:
    try:
        application(command)(arguments)
    except GitopsError as error:
        render.error(error)
        return error.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        _show_unforeseen(error)
        return 1
    return 0


def _show_unforeseen(error: Exception) -> None:
    """Print the traceback of an error that no code expected, and what to do with it.

    The traceback is always shown: the next run may not fail the same way.
    """
    import traceback

    render.progress("".join(traceback.format_exception(error)).rstrip())
    render.error(
        GitopsError(
            f"unforeseen {type(error).__name__}",
            why=str(error),
            fix=f"run it again; if that fails too, report the traceback above and gitops-ml {__version__}",
        )
    )
