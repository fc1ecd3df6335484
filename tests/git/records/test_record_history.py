"""The attempts that a record has dropped are found in its earlier versions, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from gitops_ml.clients.files import record_cache, record_history
from gitops_ml.clients.files.environments import read_environment
from gitops_ml.clients.files.record_cache import cached_records
from gitops_ml.clients.files.record_history import CACHE, all_attempts
from gitops_ml.clients.files.records import read_records, write_record
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.journal.state import KEPT_ATTEMPTS
from gitops_ml.core.records.record import RecordedAttempt, record_path
from tests.git.conftest import commit_file, git
from tests.unit.page.examples import READY, attempt, check, recorded

ALL = [msgspec.structs.replace(attempt(100 - n, READY), id=f"a{n:03}") for n in range(70)]
"""The oldest first."""


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    commit_file(folder, "environments/project.yaml", "schema: 1\nname: shop\n")
    commit_file(folder, "environments/dev/environment.yaml", "schema: 1\ngateway: {port: 8081}\n")
    return folder


@pytest.fixture
def attempts(clone: Path) -> Iterator[Callable[[], list[str]]]:
    """The ids of the attempts of `delay`, the newest first."""
    opened = []

    def read() -> list[str]:
        repo = Repository.open(clone)
        opened.append(repo)
        declared = read_environment(repo, repo.tip(), "dev")
        return [a.id for a in all_attempts(repo, declared, read_records(repo, declared)).get("delay", ())]

    yield read
    for repo in opened:
        repo.close()


def record(clone: Path, until: int) -> None:
    """Commit the record as it is after so many attempts."""
    newest: list[RecordedAttempt] = list(reversed(ALL[max(0, until - KEPT_ATTEMPTS) : until]))
    commit_file(clone, record_path("dev", "delay"), write_record(recorded(newest)).decode())


def names(until: int) -> list[str]:
    return [a.id for a in reversed(ALL[:until])]


def test_a_record_that_dropped_nothing_is_read_alone(
    clone: Path, attempts: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record(clone, 5)
    monkeypatch.setattr(record_history, "_versions", lambda *_: pytest.fail("history is read"))
    assert attempts() == names(5)


@pytest.mark.parametrize("step", [1, 7, 13, 20])
def test_every_dropped_attempt_is_found(clone: Path, attempts: Callable[[], list[str]], step: int) -> None:
    for until in range(step, 70, step):
        record(clone, until)
    last = range(step, 70, step)[-1]
    assert attempts() == names(last)


def test_what_was_found_is_kept(
    clone: Path, attempts: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for until in range(10, 60, 10):
        record(clone, until)
    assert attempts() == names(50)
    with monkeypatch.context() as patch:
        patch.setattr(record_history, "_older", lambda *_: pytest.fail("history is read again"))
        assert attempts() == names(50)
    record(clone, 60)
    assert attempts() == names(60)


def test_a_history_that_was_rewritten_is_read_anew(clone: Path, attempts: Callable[[], list[str]]) -> None:
    for until in (20, 30, 40):
        record(clone, until)
    attempts()
    git(clone, "reset", "-q", "--hard", "HEAD~2")
    record(clone, 25)
    assert attempts() == names(25)


def test_a_broken_cache_costs_only_time(clone: Path, attempts: Callable[[], list[str]]) -> None:
    for until in (20, 30):
        record(clone, until)
    attempts()
    (clone / ".git" / "gitops-ml" / CACHE).write_text("{")
    assert attempts() == names(30)


def test_a_broken_version_hides_only_what_it_alone_held(clone: Path, attempts: Callable[[], list[str]]) -> None:
    for until in range(2, 40, 2):
        if until == 20:
            commit_file(clone, record_path("dev", "delay"), "attempts: <broken>")
        record(clone, until)
    assert attempts() == names(38)


def test_records_of_the_cache_are_those_of_the_files(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drift = check("drift", psi=1e-300, rows=2**62, top=["a", 1, 0.5], none=None)
    for name in ("delay", "churn"):
        content = write_record(recorded([attempt(1, READY, drift)]))
        commit_file(clone, record_path("dev", name), content.decode())
    with Repository.open(clone) as repo:
        declared = read_environment(repo, repo.tip(), "dev")
        whole = read_records(repo, declared)
        assert len(whole) == 2
        assert cached_records(repo, declared) == whole
        with monkeypatch.context() as patch:
            patch.setattr(record_cache, "read_record", lambda *_: pytest.fail("a file is parsed again"))
            assert cached_records(repo, declared) == whole
        (cache,) = (repo.cache / "records").iterdir()
        cache.write_bytes(b"\xff")
        assert cached_records(repo, declared) == whole
    commit_file(clone, record_path("dev", "delay"), "attempts: <broken>")
    with Repository.open(clone) as repo:
        assert list(cached_records(repo, read_environment(repo, repo.tip(), "dev"))) == ["churn"]
