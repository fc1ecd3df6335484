"""The conventions that all commands keep: exit codes, `-h`, `-C`, `-q`, `-o`, variables, and help at 80 columns."""

from __future__ import annotations

import functools
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from gitops_ml.cli import documents, main, render
from gitops_ml.cli.command import Commands
from gitops_ml.cli.main import MODULES, application
from gitops_ml.errors import InputError, PushRejected

GITOPS_ML = Path(sys.executable).with_name("gitops-ml")
COMMANDS = [command for commands in MODULES.values() for command in commands]


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GITOPS_ML, *arguments], env=os.environ | variables, capture_output=True, text=True, timeout=60, check=False
    )


@functools.cache
def program() -> typer.Typer:
    """The program with all its commands, made once."""
    return application()


@functools.cache
def each_command() -> dict[str, Any]:
    """Every command by its words, those of groups too."""
    found: dict[str, Any] = {}
    for name, command in get_command(program()).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        found |= {f"{name} {word}": each for word, each in inner.items()} if inner else {name: command}
    return found


@pytest.mark.parametrize(
    "arguments",
    [["plan", "--nonsense"], ["snyc"], ["bump", "dev"], ["plan", "-o", "yaml"], ["data"], ["plan", "--rev"], []],
)
def test_a_usage_error_is_exit_code_1(arguments: list[str]) -> None:
    """2 means that changes are pending: a mistyped workflow must not look as if it had planned."""
    ran = run(*arguments)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: ") or not arguments


def test_a_usage_error_names_the_help_that_fixes_it() -> None:
    ran = run("plan", "--nonsense")
    assert ran.stderr == "error: no such option: --nonsense\n  fix: gitops-ml plan --help\n"
    assert run("plan", "--help").returncode == 0


@pytest.mark.parametrize("arguments", [["-o", "json"], ["--output=json"], ["-ojson"], ["--json"]])
def test_a_usage_error_is_json_where_json_is_asked_for(arguments: list[str]) -> None:
    ran = run("status", "--nonsense", *arguments)
    assert json.loads(ran.stdout) == {
        "schema": 1,
        "errors": [
            {"what": "no such option: --nonsense", "why": "", "fix": "gitops-ml status --help", "code": 1},
        ],
    }


def test_an_error_is_json_where_json_is_asked_for(tmp_path: Path) -> None:
    ran = run("status", "-o", "json", "-C", str(tmp_path))
    said = {"what": f"{tmp_path} is no Git repository", "why": "", "fix": "git init, or go to a clone", "code": 1}
    assert (ran.returncode, json.loads(ran.stdout)) == (1, {"schema": 1, "errors": [said]})
    assert ran.stderr.startswith(f"error: {tmp_path} is no Git repository\n")


def test_events_are_one_object_a_line(tmp_path: Path) -> None:
    ran = run("sync", "-o", "ndjson", "-C", str(tmp_path))
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [event["event"] for event in events] == ["error", "result"]
    assert all(event["schema"] == 1 and event["at"].endswith("+00:00") for event in events)
    assert events[0]["what"] == events[1]["errors"][0]["what"] == f"{tmp_path} is no Git repository"


@pytest.mark.parametrize("words", each_command())
def test_every_command_has_the_common_options(words: str) -> None:
    params = {opt for param in each_command()[words].params for opt in param.opts}
    assert {"-q", "--quiet", "-C", "--repo"} <= params
    ran = CliRunner().invoke(program(), [*words.split(), "-h"])
    assert ran.exit_code == 0
    assert ran.stdout == CliRunner().invoke(program(), [*words.split(), "--help"]).stdout


def test_every_reading_command_prints_json() -> None:
    without = {
        words for words, command in each_command().items() if "-o" not in {o for p in command.params for o in p.opts}
    }
    assert without == {"init", "demo"}


@pytest.mark.parametrize("words", ["", *each_command()])
def test_help_fits_80_columns(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = CliRunner().invoke(program(), [*words.split(), "--help"]).stdout.splitlines()
    assert max(map(len, lines)) <= 80
    cut = [line for line in lines if line.endswith("...") and not line.startswith("Usage: ")]
    assert cut == [], "the summary has to be shorter"


def test_the_root_takes_the_clone_too(tmp_path: Path) -> None:
    assert f"{tmp_path} is no Git repository" in run("-C", str(tmp_path), "history", "dev").stderr


def test_options_have_variables(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    ran = run("status", GITOPS_ML_REPO=str(tmp_path), GITOPS_ML_OUTPUT="json")
    assert json.loads(ran.stdout)["errors"][0]["what"] == f"{tmp_path} is no Git repository"
    assert f"{other} is no Git" in run("status", "-C", str(other), GITOPS_ML_REPO=str(tmp_path)).stderr


def test_a_variable_is_no_option_of_the_whole_program() -> None:
    """CI sets such variables: they must neither print the version nor install anything."""
    ran = run("schema", "project", GITOPS_ML_VERSION="1", GITOPS_ML_SHOW_COMPLETION="1")
    assert '"title": "Project"' in ran.stdout


def test_the_module_runs_as_the_script_does() -> None:
    ran = subprocess.run([sys.executable, "-m", "gitops_ml", "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout == run("--version").stdout


def sample() -> Commands:
    """A program with one command that prints a line of everything, and fails."""
    app = Commands(pretty_exceptions_enable=False)

    def fail(output: str = typer.Option("text", "-o"), with_code: int = 0) -> None:
        render.progress("begin")
        render.error(InputError("wrong", why="so", fix="do it"), "dev/churn")
        render.error("wrong: so\n  fix: do it", "dev/spam")
        documents.show(ok=False)
        if with_code:
            raise typer.Exit(with_code)
        raise PushRejected("refused", fix="gitops-ml sync dev")

    app.command()(fail)
    app.callback()(lambda: None)
    return app


def test_the_document_has_all_errors_and_what_was_found_out() -> None:
    ran = CliRunner().invoke(sample(), ["fail", "-o", "json"])
    assert isinstance(ran.exception, PushRejected)
    assert json.loads(ran.stdout) == {
        "schema": 1,
        "ok": False,
        "errors": [
            {"subject": "dev/churn", "what": "wrong", "why": "so", "fix": "do it", "code": 1},
            {"subject": "dev/spam", "what": "wrong: so", "why": "", "fix": "do it", "code": 1},
            {"what": "refused", "why": "", "fix": "gitops-ml sync dev", "code": 5},
        ],
    }


def test_an_exit_code_is_no_error() -> None:
    ran = CliRunner().invoke(sample(), ["fail", "-o", "json", "--with-code", "3"])
    assert ran.exit_code == 3
    assert len(json.loads(ran.stdout)["errors"]) == 2


def test_quiet_prints_errors_and_no_progress() -> None:
    quiet, loud = (CliRunner().invoke(sample(), ["fail", *words, "--with-code", "3"]) for words in (["-q"], []))
    assert quiet.stderr.startswith("error: dev/churn: wrong: so\n  fix: do it\n")
    assert loud.stderr == f"begin\n{quiet.stderr}"


def test_an_unforeseen_error_is_in_the_document(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**fields: object) -> None:
        raise KeyError("serving")

    monkeypatch.setattr(documents, "show", fail)
    ran = CliRunner().invoke(sample(), ["fail", "-o", "json"])
    assert json.loads(ran.stdout)["errors"][-1]["what"] == "unforeseen KeyError"


HEAD = ("ENVIRONMENT", "NAME", "GENERATION", "SYNC")
ROW = ("production", "flight-delay", "3f0c5f0e21aa", "OutOfSync")


def show_table(columns: int, *, terminal: bool, wide: bool = False, **variables: str) -> str:
    """What `show_table` prints to both streams."""
    script = (
        "from gitops_ml.cli import documents, render;"
        f"documents.current.format = {'wide' if wide else 'text'!r};"
        f"render.show_table({HEAD!r}, [{ROW!r}], ('GENERATION', 'NAME'))"
    )
    command = [sys.executable, "-c", script]
    env = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"} | variables
    if not terminal:
        return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        subprocess.run(command, env=env, stdout=theirs, stderr=theirs, check=True)
        os.close(theirs)
        return screen.read(4096).decode().replace("\r\n", "\n")


def test_a_narrow_terminal_gets_fewer_columns() -> None:
    plain = "\n".join("  ".join(cells) for cells in (HEAD, ROW))
    assert show_table(40, terminal=False).split() == [*HEAD, *ROW], plain
    assert show_table(80, terminal=True, NO_COLOR="1").split() == [*HEAD, *ROW]
    assert show_table(40, terminal=True, NO_COLOR="1") == (
        "ENVIRONMENT  NAME          SYNC\nproduction   flight-delay  OutOfSync\nnot shown: GENERATION (-o wide)\n"
    )
    assert show_table(24, terminal=True, NO_COLOR="1").endswith("not shown: GENERATION,\n  NAME (-o wide)\n")
    assert show_table(40, terminal=True, wide=True, NO_COLOR="1").split() == [*HEAD, *ROW]


def test_an_error_fits_a_terminal_and_its_fix_stays_one_line() -> None:
    error = "the image was not built, since the disk is full\n  fix: gitops-ml bump prod churn v1.0.0 --push"
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "40", "NO_COLOR": "1", "TERM": "xterm"}
    command = [sys.executable, "-c", f"from gitops_ml.cli import render; render.error({error!r})"]
    with os.fdopen(ours, "rb", buffering=0) as screen:
        subprocess.run(command, env=env, stderr=theirs, check=True)
        os.close(theirs)
        lines = screen.read(4096).decode().splitlines()
    assert lines == [
        "error: the image was not built, since",
        "  the disk is full",
        "  fix: gitops-ml bump prod churn v1.0.0 --push",
    ]
    assert subprocess.run(command, env=env, capture_output=True, text=True, check=True).stderr.splitlines() == [
        "error: the image was not built, since the disk is full",
        "  fix: gitops-ml bump prod churn v1.0.0 --push",
    ]


def test_states_are_coloured_on_a_terminal_only() -> None:
    painted = re.compile(r"\x1b\[33mOutOfSync\x1b\[0m")
    assert painted.search(show_table(80, terminal=True, NO_COLOR=""))
    for text in (
        show_table(80, terminal=True, NO_COLOR="1"),
        show_table(80, terminal=True, NO_COLOR="", TERM="dumb"),
        show_table(80, terminal=False, NO_COLOR=""),
    ):
        assert "\x1b" not in text


def test_the_document_of_a_struct_has_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    class Found(msgspec.Struct):
        name: str

    with documents.command("json", quiet=False):
        documents.show_struct(Found(name="churn"))
    assert json.loads(capsys.readouterr().out) == {"schema": 1, "name": "churn", "errors": []}


def test_the_command_is_found_behind_the_options_of_the_program() -> None:
    assert main._command_in(["-C", "status", "-q", "sync", "dev"]) == "sync"
    assert main._command_in(["--help"]) is None
