"""The command line makes only what is asked for, and is the same command line whatever is asked for."""

from __future__ import annotations

import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gitops_ml.cli.main import MODULES, application, main


@pytest.mark.parametrize(("module", "commands"), MODULES.items())
def test_a_command_comes_with_its_module_and_no_other(module: str, commands: tuple[str, ...]) -> None:
    for command in commands:
        assert _names(command) == sorted(commands), f"MODULES says otherwise of gitops_ml.cli.{module}"


def test_all_commands_are_there_when_none_is_known() -> None:
    everything = sorted(command for commands in MODULES.values() for command in commands)
    assert _names(None) == _names("snyc") == everything


def test_a_command_says_the_same_of_itself_alone_and_among_all() -> None:
    for command in (c for commands in MODULES.values() for c in commands):
        alone, among = (CliRunner().invoke(application(c), [command, "--help"]) for c in (command, None))
        assert alone.exit_code == 0
        assert alone.stdout == among.stdout


def test_a_command_that_is_not_there_is_told_the_nearest(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_codes: list[int] = []
    monkeypatch.setattr(sys, "argv", ["gitops-ml", "snyc"])
    monkeypatch.setattr("os._exit", exit_codes.append)
    monkeypatch.setattr("atexit._run_exitfuncs", lambda: None)
    main()
    assert exit_codes == [2]
    assert "Did you mean 'sync'?" in capsys.readouterr().err


def _names(command: str | None) -> list[str]:
    return sorted(getattr(get_command(application(command)), "commands", {}))
