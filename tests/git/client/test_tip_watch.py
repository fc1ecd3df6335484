"""A newer commit preempts whatever candidate is brought up, also one that began late in a pass."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment import preemption
from gitops_ml.control.environment.preemption import TipWatch
from gitops_ml.control.environment.view import View
from gitops_ml.control.session import Session
from gitops_ml.core.journal.fold import fold_entries
from gitops_ml.core.journal.state import EnvironmentState
from tests.git.conftest import commit_file, git
from tests.unit.builders import PROJECT, generation
from tests.unit.journals import intent, promoted

V1 = generation("v1")


class Rollouts:
    """The part of a host that the watch asks."""

    def __init__(self) -> None:
        self.state = EnvironmentState()
        self.superseded = threading.Event()

    def supersede(self, deployment: str, fingerprint: str) -> None:
        assert (deployment, fingerprint) == (V1.deployment, V1.fingerprint)
        self.superseded.set()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    commit_file(folder, "environments/project.yaml", f"schema: 1\nname: {PROJECT}\n")
    commit_file(folder, "environments/dev/environment.yaml", "schema: 1\ngateway: {port: 8081}\n")
    return folder


def test_a_candidate_that_begins_late_in_a_pass_is_superseded(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no candidate is brought up, nothing is fetched: an open canary is looked at between passes."""
    monkeypatch.setattr(preemption, "EVERY", 0.05)
    fetched: list[float] = []

    def read_tip(repo: Repository, seconds: float) -> str:
        fetched.append(seconds)
        repo.forget()
        return repo.tip()

    view: Any = SimpleNamespace(
        source=SimpleNamespace(commit=git(clone, "rev-parse", "HEAD").strip(), files=SimpleNamespace(full_name="dev")),
        snapshot=SimpleNamespace(base_id=""),
    )
    host = Rollouts()
    with TipWatch(clone, read_tip, cast(View, view), cast(Session, host)):
        host.state = fold_entries(promoted(V1))
        time.sleep(0.3)
        assert fetched == []
        host.state = fold_entries([intent(V1)])
        commit_file(clone, "README.md", "a newer commit, which declares nothing")
        assert host.superseded.wait(10)
    assert max(fetched) <= preemption.PATIENCE
