"""Output cannot break a command, whatever its descriptors are, and cannot control a terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gitops_ml.cli import documents, main, render
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.errors import InputError

GITOPS_ML = Path(sys.executable).with_name("gitops-ml")


def shell(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the real command with descriptors as a shell can leave them."""
    command = f'{GITOPS_ML} "$@" {redirection}'
    return subprocess.run(
        ["bash", "-c", command, "bash", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full", "| true; exit ${PIPESTATUS[0]}"])
@pytest.mark.parametrize(("arguments", "code"), [(["schema"], 0), (["--help"], 0), (["history", "/none"], 1)])
def test_the_exit_code_tells_of_the_work(redirection: str, arguments: list[str], code: int) -> None:
    ran = shell(redirection, *arguments)
    assert ran.returncode == code, ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("command", [["schema"], ["--help"]])
def test_output_that_does_not_fit_on_the_disk_is_an_error(command: list[str]) -> None:
    ran = shell(">/dev/full", *command)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: stdout could not be written: No space left on device\n  fix: ")


def test_a_change_keeps_its_exit_code_when_its_output_is_lost(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / ".dvc").mkdir()
    ran = shell(">/dev/full", "init", "--repo", str(tmp_path), "--name", "churn")
    assert ran.returncode == 0
    assert "error: stdout could not be written" in ran.stderr
    assert (tmp_path / "environments" / "project.yaml").exists()


def test_a_file_that_is_opened_later_does_not_become_stdout() -> None:
    """Otherwise a child process would write into that file."""
    script = (
        "import os, sys; from gitops_ml.cli import streams; streams.protect();"
        "sys.exit(0 if os.open(os.devnull, os.O_RDONLY) > 2 else 1)"
    )
    ran = subprocess.run(["bash", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, script], check=False)
    assert ran.returncode == 0


def test_text_that_the_encoding_lacks_is_escaped() -> None:
    script = (
        "from gitops_ml.cli import render, streams; streams.protect(); render.out('caf\\u00e9 \\u2026 \\udc80 \\u2713')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONIOENCODING": "latin-1"},
        capture_output=True,
        check=True,
    )
    assert ran.stdout == b"caf\xe9 \\u2026 \\ufffd \\u2713\n"


def test_a_line_from_outside_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    render.out("churn \x1b[2J\x1b[31mred\x1b]0;title\x07 \x9b1mbold\r")
    render.progress("a\x00b\u202ec")
    render.error(InputError("bad \x1b[8mname", fix="rename\x1b[0m it"), "prod/churn")
    assert capsys.readouterr().out == "churn red bold\n\n"


def test_only_states_are_coloured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(render, "coloured", lambda: True)
    check = CheckResult(name="smoke", result="fail", reason="it said \x1b[32mpass\x1b[0m\nerror: forged", figures={})
    render.out(f"  {render.check_line(check)}")
    assert capsys.readouterr().out == "  \x1b[31mfail\x1b[0m smoke: it said pass error: forged\n"


def test_a_table_stays_one_line_a_row() -> None:
    text = render.table(("NAME", "HOLD"), [("churn", "fair\nweek \x1b[31m!"), ("  spam", "-")])
    assert text == "NAME    HOLD\nchurn   fair week !\n  spam  -"


def test_json_is_escaped_and_not_cut() -> None:
    value = {"log": "x" * 100_000 + "\x1b[2J\x9b\u202e\u2028\udc80é"}
    printed = documents.as_json(value)
    assert json.loads(printed) == value
    assert not set("\x1b\x9b\u202e\u2028\udc80") & set(printed)
    assert "é" in printed


def test_an_error_that_no_code_expected_is_named_with_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(main, "application", lambda command: _raise)
    assert main._run(["status"]) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback (most recent call last):")
    assert "\nerror: unforeseen KeyError: 'serving'\n  fix: run it again; if that fails too, report" in printed


def _raise(arguments: list[str], **settings: object) -> None:
    raise KeyError("serving")
