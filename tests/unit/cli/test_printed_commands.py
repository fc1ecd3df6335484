"""What the tool prints as a fix or as the next command: known to `tests/printed_commands.py`, and right as words."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import cache
from typing import Any

import pytest
import typer
from typer.main import get_command

from gitops_ml.cli.main import application
from tests.printed_commands import NOT_RUN, RUN
from tests.printed_templates import ROOT, commands_in, printed


@cache
def commands() -> Any:
    return get_command(application())


def test_every_printed_command_is_run_by_a_test_or_says_why_not() -> None:
    """A new one: have a test run it as printed, and add it to RUN in `tests/printed_commands.py`."""
    unknown = {template: files for template, files in printed().items() if template not in RUN | NOT_RUN}
    assert unknown == {}
    assert sorted(template for template in RUN | NOT_RUN if template not in printed()) == [], "nothing prints these now"
    assert RUN.keys() & NOT_RUN.keys() == set()


def test_the_tests_that_run_them_exist() -> None:
    for test in set(RUN.values()):
        file, _, function = test.partition("::")
        assert f"def {function}(" in (ROOT / file).read_text(), test


def test_our_commands_have_the_arguments_that_are_printed() -> None:
    for template in printed():
        for words in commands_in(template, "gitops-ml"):
            require_valid(template, words)


def require_valid(template: str, words: list[str]) -> None:
    """Check that the command line knows the command and its arguments."""
    name, *arguments = words
    command = commands().commands[name]
    if not arguments:
        return  # the command is only named
    try:
        command.make_context(name, arguments, parent=typer.Context(commands())).close()
    except typer.TyperException as error:
        pytest.fail(f"{template!r}: {error.format_message()}")


def test_git_and_dvc_know_the_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    from dvc.cli.parser import get_main_parser

    monkeypatch.setattr(sys, "argv", ["dvc"])  # DVC reads it while it makes the parser

    for name in {words[2] if words[0] == "-C" else words[0] for t in printed() for words in commands_in(t, "git")}:
        if name == "lfs":  # a program of its own, which only those have who use it
            continue
        asked = subprocess.run(["git", name, "-h"], capture_output=True, text=True, check=False)
        assert asked.returncode in (0, 129) and "is not a git command" not in asked.stderr, name
    parsers = next(a for a in get_main_parser()._actions if isinstance(a, argparse._SubParsersAction))
    for words in (words for t in printed() for words in commands_in(t, "dvc")):
        assert words[0] in parsers.choices, words
