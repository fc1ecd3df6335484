"""Git is never left with our locks: not by a signal to us, and not by a kill of us and of git."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gitops_ml.clients import background
from gitops_ml.clients.git.process import Git
from gitops_ml.clients.git.repository import Repository
from tests.git.client.test_process import locks, running, script, until
from tests.git.conftest import git


def start_unshallowing(project: Path, tmp_path: Path) -> tuple[Path, subprocess.Popen[bytes]]:
    """A shallow clone, and a process of ours whose git holds `shallow.lock` there and waits for ever."""
    place = project.parent / "shallow"
    git(project.parent, "clone", "-q", "--depth=1", f"file://{project.parent}/origin.git", "shallow")
    hung = script(tmp_path / "upload-pack", f"echo $$ > {tmp_path}/pid; exec sleep 60")
    config = Path(os.environ["GIT_CONFIG_GLOBAL"])
    config.write_text(f"{config.read_text()}[uploadpack]\n\tpackObjectsHook = {hung}\n")
    program = f"from gitops_ml.clients.git.repository import Repository\nRepository.open({str(place)!r}).fetch()\n"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=Path.cwd(), stderr=subprocess.DEVNULL)
    until(lambda: (tmp_path / "pid").exists() and locks(place) == [".git/shallow.lock"], 30)
    return place, process


def git_processes(place: Path) -> list[int]:
    """The git processes that run in a folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            in_place = (folder / "cwd").readlink().is_relative_to(place)
            if in_place and (folder / "comm").read_text().startswith("git"):
                found.append(int(folder.name))
    return found


def test_the_locks_of_a_git_that_was_killed_with_us_are_removed(project: Path, tmp_path: Path) -> None:
    place, process = start_unshallowing(project, tmp_path)
    (place / ".git/index.lock").touch()
    os.utime(place / ".git/index.lock", (1, 1))
    process.kill()
    process.wait()
    # What is left of us is at work: nothing is removed yet.
    with Repository.open(place):
        assert locks(place) == [".git/index.lock", ".git/shallow.lock"]
    for number in git_processes(place):
        os.kill(number, signal.SIGKILL)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    until(lambda: git_processes(place) == [])
    with Repository.open(place):
        assert locks(place) == [".git/index.lock"], "a lock of another time is somebody else's"


def test_a_lock_is_left_while_any_git_is_at_work_in_the_clone(project: Path, tmp_path: Path) -> None:
    place, process = start_unshallowing(project, tmp_path)
    process.kill()
    process.wait()
    for number in git_processes(place):
        os.kill(number, signal.SIGKILL)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    until(lambda: git_processes(place) == [])
    with subprocess.Popen(["git", "cat-file", "--batch"], cwd=place, stdin=subprocess.PIPE) as theirs:
        with Repository.open(place):
            assert locks(place) == [".git/shallow.lock"]
        assert theirs.stdin is not None
        theirs.stdin.close()
    with Repository.open(place):
        assert locks(place) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_any_command_ends_its_git(project: Path, tmp_path: Path, number: signal.Signals) -> None:
    git(project, "config", "remote.origin.uploadpack", f"echo $$ > {tmp_path}/pid; exec sleep 60; true")
    command = [sys.executable, "-c", "from gitops_ml.cli.main import main; main()", "versions", "--fetch", "-o", "json"]
    with subprocess.Popen([*command, "-C", str(project)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip(), 30)
        process.send_signal(number)
        assert process.wait(10) == 130
        assert process.stdout is not None
        errors = json.loads(process.stdout.read())["errors"]
        assert [(error["what"], error["code"]) for error in errors] == [("interrupted", 130)]
    until(lambda: not running(tmp_path / "pid"))
    assert locks(project) == []


def test_closing_ends_a_command_that_is_just_being_started(
    lone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, start = threading.Event(), Git.start

    def start_slowly(self: Git, *arguments: str, **options: Any) -> Any:
        process = start(self, *arguments, **options)
        started.set()
        time.sleep(0.5)
        return process

    monkeypatch.setattr(Git, "start", start_slowly)
    editor = script(tmp_path / "editor", "sleep 60")
    git_in_thread = Git.at(lone)
    result = background.begin(
        lambda: git_in_thread.run("commit", "--allow-empty", env={"GIT_EDITOR": str(editor)}, timeout=60)
    )
    assert started.wait(20)
    git_in_thread.close()
    assert background.result_within(result, 20).code != 0
