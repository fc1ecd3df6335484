"""Runs a stage as a command: options for its paths, its section of params.yaml, errors that say how to fix them.

DVC shows what a stage prints, and stops when its exit code is not 0.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gitops_ml.errors import GitopsError
from gitops_ml.stages.params import SectionT, load_section


def run_stage(
    stage: Callable[[SectionT, argparse.Namespace], str],
    section: type[SectionT],
    paths: dict[str, str],
    argv: Sequence[str] | None = None,
) -> int:
    """Run one stage as a command.

    Args:
        stage: does the work with its parameters and paths, and returns the line to print.
        section: type of its section of params.yaml.
        paths: default path by option name; each becomes a `Path` attribute of the stage's second argument.
        argv: arguments of the command line; None takes the process's own.

    Returns:
        the exit code: 0, or the error's. The error is printed to stderr.
    """
    name = section.__name__.lower()
    parser = argparse.ArgumentParser(prog=f"python -m gitops_ml.stages.{name}")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    for option, default in paths.items():
        parser.add_argument(f"--{option}", type=Path, default=Path(default))
    options = parser.parse_args(argv)
    try:
        print(f"{name}: {stage(load_section(options.params, section), options)}")
    except GitopsError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    return 0
