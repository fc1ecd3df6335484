"""Shell completion, as a shell asks for it: names come from the clone, without network and without an engine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.git.cli_clone import clone, write
from tests.git.conftest import git

GITOPS_ML = Path(sys.executable).with_name("gitops-ml")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("completion")
    (folder / "gitconfig").write_text("[user]\n\tname = Ada\n\temail = ada@example.org\n")
    os.environ["GIT_CONFIG_GLOBAL"] = str(folder / "gitconfig")
    work = clone(folder)
    write(work, "dvc.yaml", "artifacts:\n  risk: {path: models/risk}\n")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Declare a model")
    for tag in ("churn@v1.0.0", "churn@v1.10.0", "churn@v1.9.0"):
        git(work, "tag", "-a", "-m", tag, tag)
    # The remote is gone: a completion must not wait for it.
    (folder / "remote.git").rename(folder / "gone.git")
    return work


def complete(work: Path, line: str) -> list[str]:
    """What bash would offer at the end of `line`."""
    words = line.split(" ")
    asked = {"_GITOPS_ML_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ran = subprocess.run([GITOPS_ML], cwd=work, env=os.environ | asked, capture_output=True, text=True, timeout=60)
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("gitops-ml sy", ["sync"]),
        ("gitops-ml sync ", ["prod", "staging"]),
        ("gitops-ml sync staging ", ["prod"]),
        ("gitops-ml bump prod ", ["churn"]),
        ("gitops-ml promote ch", ["churn"]),
        ("gitops-ml promote churn --to st", ["staging"]),
        ("gitops-ml bump prod churn ", ["v1.10.0", "v1.9.0", "v1.0.0", "latest"]),
        ("gitops-ml diff ", ["churn", "risk"]),
        ("gitops-ml diff churn v1.0", ["v1.0.0"]),
        ("gitops-ml status -o ", ["text", "wide", "json"]),
        ("gitops-ml bump nowhere ", []),
    ],
)
def test_what_is_offered(work: Path, line: str, offered: list[str]) -> None:
    assert complete(work, line) == offered


def test_nothing_is_offered_outside_of_a_clone(tmp_path: Path) -> None:
    assert complete(tmp_path, "gitops-ml sync ") == []


def test_another_clone_can_be_named(work: Path, tmp_path: Path) -> None:
    assert complete(tmp_path, f"gitops-ml sync -C {work} p") == ["prod"]
    assert complete(tmp_path, f"gitops-ml -C {work} sync p") == ["prod"]


def test_the_script_for_a_shell_is_printed() -> None:
    shown = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ran = subprocess.run(
        [GITOPS_ML, "--show-completion", "bash"], env=os.environ | shown, capture_output=True, text=True, check=True
    )
    assert "_GITOPS_ML_COMPLETE=complete_bash" in ran.stdout
