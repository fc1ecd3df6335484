"""The command line builds only the command that is called, and each command is the same either way."""

from __future__ import annotations

import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gitops_ml.cli.main import MODULES, application, main
from tests.effort import stride


@pytest.mark.parametrize(("module", "commands"), MODULES.items())
def test_a_command_loads_only_its_module(module: str, commands: tuple[str, ...]) -> None:
    for command in commands:
        assert _names(command) == sorted(commands), f"MODULES says otherwise of gitops_ml.cli.{module}"


def test_all_commands_are_loaded_for_an_unknown_one() -> None:
    everything = sorted(command for commands in MODULES.values() for command in commands)
    assert _names(None) == _names("snyc") == everything


def test_the_help_of_a_command_is_the_same_alone_and_among_all() -> None:
    everything = application(None)
    for command in [c for commands in MODULES.values() for c in commands][:: stride(3)]:
        alone, among = (CliRunner().invoke(app, [command, "--help"]) for app in (application(command), everything))
        assert alone.exit_code == 0
        assert alone.stdout == among.stdout


def test_an_unknown_command_gets_the_nearest_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exit_codes: list[int] = []
    monkeypatch.setattr(sys, "argv", ["gitops-ml", "snyc"])
    monkeypatch.setattr("os._exit", exit_codes.append)
    monkeypatch.setattr("atexit._run_exitfuncs", lambda: None)
    main()
    assert exit_codes == [1]
    assert "Did you mean 'sync'?" in capsys.readouterr().err


def _names(command: str | None) -> list[str]:
    return sorted(getattr(get_command(application(command)), "commands", {}))
