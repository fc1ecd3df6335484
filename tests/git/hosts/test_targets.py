"""What the hosts of an environment share, such as the fetch of the clone: trouble with one of them stops no other."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.environment.targets import SharedFetch, side_by_side, undeclared
from gitops_ml.core.generation import ENVIRONMENT
from gitops_ml.errors import EngineUnavailable, SourceUnavailable
from tests.git.conftest import commit_file, git


class ConnectedTo(Connection):
    """The connection to an engine that runs containers of these environments, or that is lost."""

    def __init__(self, url: str, *environments: str, error: Exception | None = None) -> None:
        super().__init__()
        self.url, self._environments, self._error = url, environments, error

    @property
    def engine(self) -> Engine:
        return cast(Engine, self)

    def list_containers(self, labels: dict[str, str]) -> list[dict[str, Any]]:
        if self._error:
            raise self._error
        return [{"Labels": {ENVIRONMENT: name} | labels} for name in self._environments]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    commit_file(folder, "environments/project.yaml", "schema: 1\nname: shop\n")
    return folder


def test_an_engine_that_is_lost_hides_nothing_of_the_others(clone: Path) -> None:
    lost = EngineUnavailable("ssh://leeds does not answer")
    connections = {
        "edge@leeds": ConnectedTo("ssh://leeds", error=lost),
        "edge@york": ConnectedTo("ssh://york", error=KeyError("Labels")),
        "edge@hull": ConnectedTo("ssh://hull", "edge", "prod"),
    }
    with Repository.open(clone) as repo:
        targets = [EnvironmentTarget(repo, name, print, connection) for name, connection in connections.items()]
        errors = [error.what for error in undeclared(targets)]
    assert sorted(errors) == [
        "edge@york met an unforeseen error",
        "shop runs in prod, which is not declared any more",
        "ssh://leeds does not answer",
    ]


def test_a_project_file_that_cannot_be_read_is_an_error_of_its_own(clone: Path) -> None:
    commit_file(clone, "environments/project.yaml", "schema: 1\nname: [\n")
    with Repository.open(clone) as repo:
        (error,) = undeclared([EnvironmentTarget(repo, "edge@hull", print, ConnectedTo("ssh://hull", "edge"))])
    assert "environments/project.yaml" in str(error)


def test_a_host_with_an_open_canary_waits_no_longer_for_a_fetch_than_it_may(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, began = threading.Event(), []

    def hang(repo: Repository, seconds: float) -> str:
        began.append(seconds)
        assert answers.wait(30)
        return repo.tip()

    monkeypatch.setattr(Repository, "fetch", hang)
    fetch = SharedFetch()
    with Repository.open(clone) as leeds, Repository.open(clone) as york:
        waiting = threading.Thread(target=fetch, args=(leeds, 120.0), daemon=True)
        waiting.start()
        while not began:
            time.sleep(0.01)
        before = time.monotonic()
        with pytest.raises(SourceUnavailable, match="could not be fetched"):
            fetch(york, 0.2)
        assert time.monotonic() - before < 10 and began == [120.0]
        answers.set()
        assert fetch(york, 10.0) == york.tip()
        waiting.join(30)


@pytest.mark.parametrize("at_once", [5, 25])
def test_so_many_hosts_are_worked_on_at_once(at_once: int) -> None:
    begun, together = Counter[str](), threading.Barrier(at_once)

    def work(host: SimpleNamespace) -> int:
        begun["now"] += 1
        most = begun["now"]
        together.wait(30)
        begun["now"] -= 1
        return most

    hosts = [SimpleNamespace(stopping=threading.Event()) for _ in range(25)]
    results = side_by_side(hosts, work, at_once)
    assert all(isinstance(most, int) and most <= at_once for most in results), results
