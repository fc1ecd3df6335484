"""The command `gitops-ml`: which commands there are, and how errors leave the process."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import traceback
from importlib import import_module
from pathlib import Path

import typer

from gitops_ml import __version__
from gitops_ml.cli import documents, render, streams
from gitops_ml.cli.command import VARIABLES, Commands
from gitops_ml.errors import GitopsError, InputError

MODULES = {
    "commands.init": ("init",),
    "commands.adopt": ("adopt",),
    "commands.check": ("check",),
    "doctor.command": ("doctor",),
    "commands.lint": ("lint",),
    "commands.versions": ("register", "versions", "bump"),
    "commands.promotion": ("promote", "rollback"),
    "commands.plan": ("plan",),
    "commands.deploy": ("sync", "status"),
    "commands.wait": ("wait",),
    "commands.agent": ("agent",),
    "commands.verify": ("verify",),
    "commands.history": ("history",),
    "commands.holds": ("hold", "release"),
    "training.data": ("data",),
    "training.diff": ("diff",),
    "training.trace": ("trace",),
    "training.retrain": ("retrain",),
    "site.command": ("site",),
    "commands.schema": ("schema",),
    "demo": ("demo",),
}
"""The commands of each module, in the order of the help."""

_OF_A_HOST = ("sync", "agent", "verify", "demo")
_OF_GIT = ("init", "adopt", "register", "bump", "promote", "rollback", "hold", "release", "retrain")
CHANGING = frozenset((*_OF_A_HOST, *_OF_GIT))
"""Commands that change Git or a host. The others only print."""


def application(command: str | None = None) -> typer.Typer:
    """Build the command line: only the module that has `command`, or all of them if none has.

    Building all of them takes some 30 ms, a fifteenth of a `sync` with nothing to do. Only the whole command line has
    the options that install completion.
    """
    modules = [module for module, commands in MODULES.items() if command in commands]
    app = Commands(
        name="gitops-ml",
        add_completion=not modules,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": VARIABLES},
    )
    app.callback()(_root)
    for module in modules or MODULES:
        import_module(f"gitops_ml.cli.{module}").add_to(app)
    return app


def _show_version(requested: bool) -> None:
    if requested:
        render.out(f"gitops-ml {__version__}")
        raise typer.Exit


def _root(
    repo: Path | None = typer.Option(None, "--repo", "-C", help="The clone to work in.", metavar="PATH"),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Print results and errors only."),
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
) -> None:
    """Continuous delivery of models: Git declares, a Docker host runs, data judges."""
    # Before the command, these options stand for their variables, which the options of the command override.
    if repo is not None:
        os.environ[f"{VARIABLES}_REPO"] = str(repo)
    if quiet:
        os.environ[f"{VARIABLES}_QUIET"] = "1"


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
    command = _command_in(arguments)
    # Nothing to do is no success, as with `git`: a workflow whose variable is empty must not be green.
    code = _invoke(command, arguments) if arguments else _invoke(None, ["--help"]) or 1
    failure = streams.lost_output()
    if failure is None:
        return code
    problem = GitopsError("stdout could not be written", why=failure.strerror or "", fix="send the output elsewhere")
    render.error(problem)
    return code or int(command not in CHANGING)


def _command_in(arguments: list[str]) -> str | None:
    """The name of the command, behind the options that may stand before it."""
    words = iter(arguments)
    for word in words:
        if word in ("-C", "--repo"):
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def _invoke(command: str | None, arguments: list[str]) -> int:
    try:
        code = application(command)(arguments, prog_name="gitops-ml", standalone_mode=False)
    except GitopsError as error:
        render.error(error)
        return error.exit_code
    except typer.TyperException as error:
        problem = _usage_error(error)
        documents.without_command(arguments, problem)
        render.error(problem)
        return problem.exit_code
    except typer.Abort:
        return 1
    except KeyboardInterrupt:  # before the command began
        problem = documents.Interrupted()
        documents.without_command(arguments, problem)
        return problem.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except Exception as error:
        _show_unforeseen(error)
        return 1
    return code if isinstance(code, int) else 0


def _usage_error(error: typer.TyperException) -> GitopsError:
    """What is wrong with the arguments, and the help that says what is right."""
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "gitops-ml"
    return InputError(f"{text[:1].lower()}{text[1:]}", fix=f"{path} --help")


def _show_unforeseen(error: Exception) -> None:
    """Print the traceback of an error that no code expected, and what to do with it.

    The traceback is always shown: the next run may not fail the same way.
    """
    render.progress("".join(traceback.format_exception(error)).rstrip())
    render.error(documents.unforeseen(error))
