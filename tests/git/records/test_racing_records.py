"""Records that many clones push at once all reach the remote, each once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitops_ml.clients.files import pushing
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.pushing import CommitContent, push_commit
from gitops_ml.clients.files.recording import record_verdicts
from gitops_ml.clients.files.records import read_record
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.journal.entries import Recorded
from gitops_ml.core.journal.fold import Entry, fold_entries
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.records.record import record_path
from tests.effort import QUICK
from tests.git.conftest import commit_file, git
from tests.unit.builders import generation
from tests.unit.journals import promoted

CLONES, EACH = 10, 1 if QUICK else 2
LATER_PASSES = 20
"""How often a verdict that a busy remote refused is recorded again, as later passes do."""
DECLARED = "schema: 1\nmodel: {name}\nversion: v1\n"


def unchanged(declared: EnvironmentFiles, attempt: Attempt) -> bool:
    return True


def push_records(clone: Path, rollouts: list[list[Entry]]) -> list[str]:
    """Record one verdict after the other, as a host does that this clone stands for. Returns the commits."""
    entries: list[Entry] = []
    commits = []
    with Repository.open(clone) as repo:
        for rollout in rollouts:
            entries += rollout
            state = fold_entries(entries)
            tries = (
                record_verdicts(repo, "dev", state, engine="engine-1", same_generation=unchanged)
                for _ in range(LATER_PASSES)
            )
            done = next(each for each in tries if each.commit)
            assert done.commit and not done.refused
            entries.append(Recorded(at="2026-11-23T09:00:00+00:00", attempts=done.attempts, commit=done.commit))
            commits.append(done.commit)
    return commits


def race(folder: Path, clones: int, count: int) -> None:
    """Let `clones` clones push `count` records each, at once. Fails unless the remote has each of them once."""
    remote, seed = folder / "remote.git", folder / "seed"
    git(folder, "init", "-q", "--bare", "-b", "main", str(remote))
    git(folder, "clone", "-q", str(remote), str(seed))
    names = [f"model-{number}" for number in range(clones)]
    files = {"environments/project.yaml": "schema: 1\nname: shop\n"}
    files["environments/dev/environment.yaml"] = "schema: 1\ngateway: {port: 8081}\n"
    files |= {f"environments/dev/models/{name}.yaml": DECLARED.format(name=name) for name in names}
    for path, text in files.items():
        (seed / path).parent.mkdir(parents=True, exist_ok=True)
        (seed / path).write_text(text)
    git(seed, "add", "-A")
    git(seed, "commit", "-q", "-m", "Declare the models")
    git(seed, "push", "-q", "-u", "origin", "main")
    begin = git(remote, "rev-parse", "main")
    for name in names:
        git(folder, "clone", "-q", str(remote), name)
    # Made here: msgspec, which the tests call directly, prepares a type in one thread at a time only.
    rollouts = {name: [promoted(generation(f"v{n}", name))[:-1] for n in range(count)] for name in names}
    with ThreadPoolExecutor(clones) as pool:
        racing = [pool.submit(push_records, folder / name, rollouts[name]) for name in names]
        pushed = [commit for each in racing for commit in each.result()]
    assert len(set(pushed)) == clones * count
    on_remote = git(remote, "rev-list", f"{begin}..main").split()
    assert sorted(on_remote) == sorted(pushed), "one commit for each record, and no other"
    for name in names:
        record = read_record(git(remote, "show", f"main:{record_path('dev', name)}").encode(), name)
        assert record is not None
        assert sorted(attempt.version for attempt in record.attempts) == [f"v{n}" for n in range(count)]


def test_no_record_of_ten_clones_is_lost_or_there_twice(tmp_path: Path) -> None:
    race(tmp_path, CLONES, EACH)


def test_records_of_one_process_refuse_each_other_no_push(tmp_path: Path) -> None:
    """The hosts of an environment record at the same moment. Each push is tried once, in its turn."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", "remote.git", "clone")
    commit_file(tmp_path / "clone", "README.md", "")
    git(tmp_path / "clone", "push", "-q", "origin", "HEAD:main")
    built: list[str] = []

    def record(host: str) -> str:
        def build(tip: str, parent: str) -> CommitContent:
            built.append(host)
            return CommitContent({f"records/{host}.yaml": host.encode()}, f"Record {host}")

        with Repository.open(tmp_path / "clone") as repo:
            return push_commit(repo, "main", build, f"the record of {host}")

    hosts = [f"host-{number}" for number in range(CLONES)]
    with ThreadPoolExecutor(CLONES) as pool:
        pushed = list(pool.map(record, hosts))
    assert sorted(built) == sorted(hosts) and len(set(pushed)) == CLONES
    assert git(tmp_path / "remote.git", "ls-tree", "--name-only", "main", "records/").count(".yaml") == CLONES


def test_a_push_that_hangs_holds_up_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q", "-b", "main", "clone")
    commit_file(tmp_path / "clone", "README.md", "")
    monkeypatch.setattr(pushing, "PATIENCE", 0.2)
    begun, ends = threading.Event(), threading.Event()

    def hang(tip: str, parent: str) -> CommitContent:
        begun.set()
        assert ends.wait(30)
        return CommitContent({}, "")

    with Repository.open(tmp_path / "clone") as first, Repository.open(tmp_path / "clone") as second:
        hanging = threading.Thread(target=push_commit, args=(first, "main", hang, "leeds"))
        hanging.start()
        assert begun.wait(30)
        commit = push_commit(second, "main", lambda *_: CommitContent({"york.yaml": b""}, "Record york"), "york")
        assert hanging.is_alive() and commit == git(tmp_path / "clone", "rev-parse", "main").strip()
        ends.set()
        hanging.join(30)
