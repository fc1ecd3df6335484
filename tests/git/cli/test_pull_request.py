"""Pull requests are opened by `gh` if it is installed; else the address to open is shown."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.retraining.pull_request import open_pull_request

COMPARE = "https://github.com/team/models/compare/main...retrain/m-v1.1.0?expand=1"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    for command in (["init", "-q", "-b", "main"], ["commit", "-q", "--allow-empty", "-m", "Begin"]):
        folder.mkdir(exist_ok=True)
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def opened(clone: Path, url: str) -> str:
    subprocess.run(["git", "remote", "add", "origin", url], cwd=clone, check=True)
    subprocess.run(["git", "config", "branch.main.merge", "refs/heads/main"], cwd=clone, check=True)
    subprocess.run(["git", "config", "branch.main.remote", "origin"], cwd=clone, check=True)
    with Repository.open(clone) as repo:
        return open_pull_request(repo, "retrain/m-v1.1.0", "Bump m to v1.1.0", "why")


@pytest.mark.parametrize(
    "url",
    [
        "git@github.com:team/models.git",
        "https://github.com/team/models",
        "https://token@github.com/team/models.git",
        "ssh://git@github.com/team/models.git",
    ],
)
def test_without_gh_the_address_is_shown(clone: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    only_git(clone, monkeypatch)
    assert opened(clone, url) == f"open a pull request: {COMPARE}"


def test_for_a_remote_without_a_web_address_the_branches_are_shown(clone: Path) -> None:
    assert opened(clone, "/somewhere/else.git") == "open a pull request of retrain/m-v1.1.0 to main"


def test_gh_gets_both_branches(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for `gh` prints its arguments, since a test cannot ask GitHub."""
    stand_in(clone, monkeypatch, 'printf "%s\\n" "$*" >> called; echo https://github.com/team/models/pull/7')
    assert opened(clone, "git@github.com:team/models.git") == "https://github.com/team/models/pull/7"
    called = (clone / "called").read_text()
    assert called.startswith(
        "pr create --repo github.com/team/models --head retrain/m-v1.1.0 --base main --title Bump m"
    )


def test_when_gh_fails_the_address_is_shown(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(clone, monkeypatch, "echo not logged in >&2; exit 4")
    assert opened(clone, "git@github.com:team/models.git") == (
        f"gh opened no pull request (not logged in); open it: {COMPARE}"
    )


def only_git(clone: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with git and a shell, without gh."""
    programs = clone.parent / "programs"
    programs.mkdir()
    for name in ("git", "sh"):
        path = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (programs / name).symlink_to(path)
    monkeypatch.setenv("PATH", str(programs))
    return programs


def stand_in(clone: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = only_git(clone, monkeypatch) / "gh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
