"""How every stage is started: options for its paths, its section of params.yaml, and errors that say how to fix them.

DVC shows what a stage prints and stops at its exit code, so that both have to be right here.
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
        stage: does the work with its parameters and paths; what it returns is printed.
        section: type of its section of params.yaml.
        paths: option name to default path; each becomes a `Path` attribute of the stage's second argument.
        argv: the command line's words; those of the process when None.

    Returns:
        the exit code: 0, or that of the error, which is printed to stderr.
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
