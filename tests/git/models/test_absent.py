"""Bytes that cannot be had: the error names the real reason, and advice that works."""

from __future__ import annotations

import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.fetching import fetch
from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.resolution import places, read, resolve_at, resolve_version
from gitops_ml.clients.edits.registration import register
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, ObjectMissing, SourceUnavailable, VersionRefused
from tests.git.conftest import PIPELINE, commit_file, git, run
from tests.git.models.objects import empty_cache, object_of


@contextmanager
def _files_of_at_most(size: int) -> Iterator[None]:
    """Let this process write files of at most `size` bytes: as on a full disk, each write past that fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_disk_without_room_is_named(
    repo: Repository, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dvc, plain = resolve_at(repo, "single", repo.tip()), resolve_at(repo, "in-git", repo.tip())
    for resolved in (dvc, plain):
        with _files_of_at_most(4), pytest.raises(SourceUnavailable, match="cannot be written to") as caught:
            read(repo, resolved)
        assert caught.value.fix.startswith("df -h /")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))
    with pytest.raises(SourceUnavailable, match="no temporary folder"):
        read(repo, plain)


def test_an_object_that_cannot_be_read_is_named(repo: Repository, project: Path, tmp_path: Path) -> None:
    resolved = resolve_at(repo, "single", repo.tip())
    empty_cache(project)
    place = object_of(project.parent / "storage", resolved.digest)
    place.unlink()
    place.mkdir()
    with pytest.raises(SourceUnavailable, match=f"{place}: Is a directory") as caught:
        fetch(repo, resolved, tmp_path)
    assert caught.value.fix == f"ls -l {place}"


def test_a_remote_that_is_not_mounted_is_named(repo: Repository, project: Path, tmp_path: Path) -> None:
    empty_cache(project)
    storage = project.parent / "storage"
    shutil.rmtree(storage)
    storage.mkdir()
    resolved = resolve_version(repo, "flight-delay", "v1.0.0")
    with pytest.raises(ObjectMissing, match=rf"{storage} \(remote storage\) holds no objects") as caught:
        fetch(repo, resolved, tmp_path)
    assert caught.value.fix == f"mount {storage} if that was forgotten; else dvc push, where the model was made"
    git(project, "tag", "-d", "flight-delay@v1.1.0")
    git(project, "push", "-q", "origin", ":flight-delay@v1.1.0")
    with pytest.raises(ObjectMissing, match="holds no objects"):
        register(repo, "flight-delay", version="v4.0.0")


@pytest.mark.parametrize(
    ("out", "says", "fix"),
    [
        ("{push: false}", "push: false", "take `push: false` away, then dvc push"),
        ("{remote: far}", "the remote far for itself, which is not set up", "dvc remote add far URL, then dvc push"),
    ],
)
def test_an_output_that_dvc_push_leaves_out_says_so(
    repo: Repository, project: Path, tmp_path: Path, out: str, says: str, fix: str
) -> None:
    pipeline = PIPELINE.replace("model.txt]", f"{{model.txt: {out}}}]")
    commit_file(project, "dvc.yaml", pipeline, "Keep the model here")
    lock = (project / "dvc.lock").read_text()
    assert "model.txt" in lock
    git(project, "push", "-q")
    shutil.rmtree(project.parent / "storage")
    for step in ("register", "fetch"):
        with pytest.raises(ObjectMissing, match=says) as caught:
            if step == "register":
                register(repo, "single", push=True)
            else:
                empty_cache(project)
                fetch(repo, resolve_at(repo, "single", repo.resolve("HEAD")), tmp_path)
        assert caught.value.fix == fix


def test_an_import_without_its_bytes_is_updated(repo: Repository, project: Path, lone: Path) -> None:
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", "--no-download", str(project), "model.txt", "-o", "one.txt")
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import the model, later")
    with Repository.open(lone) as repository:
        with pytest.raises(VersionRefused, match="without its bytes") as caught:
            resolve_path(repository, repository.tip(), "one.txt")
        assert caught.value.fix == "dvc update one.txt.dvc, then commit it"
        run(lone, *caught.value.fix.partition(",")[0].split(), "-q")
        git(lone, "commit", "-qam", "Update the import")
        assert read(repository, resolve_path(repository, repository.resolve("HEAD"), "one.txt")) == {
            "one.txt": b"depth: 5\n"
        }


def test_a_broken_document_stops_only_what_it_lists(repo: Repository, project: Path) -> None:
    commit_file(project, "data/broken.csv.dvc", "outs: 5\n")
    commit = commit_file(project, "dvc.lock", "schema: '2.0'\nstages: {train: nonsense}\n")
    assert resolve_path(repo, commit, "data/rows.csv").kind == "dvc"
    assert resolve_path(repo, commit, "plain/model.json").kind == "git"
    assert places(repo, resolve_path(repo, commit, "data/rows.csv")) == ["cache", "storage"]
    with pytest.raises(InputError, match=r"dvc\.lock:2: stages\.train"):
        resolve_path(repo, commit, "models/flight-delay")
