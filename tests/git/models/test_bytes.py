"""Where the bytes of a version come from: the cache, a remote or DVC itself, and always hashed."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.fetching import fetch
from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.resolution import places, read, resolve_at, resolve_version
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import (
    ObjectCorrupt,
    ObjectMissing,
    SourceUnavailable,
)
from tests.git.conftest import commit_file, git, run
from tests.git.models.objects import empty_cache, md5, object_of


@pytest.mark.parametrize("cached", [True, False])
def test_bytes_come_from_the_cache_or_a_remote(repo: Repository, project: Path, cached: bool) -> None:
    if not cached:
        empty_cache(project)
    resolved = resolve_version(repo, "flight-delay", "v1.1.0")
    assert read(repo, resolved)["manifest.json"] == b"depth: 5\n"
    assert places(repo, resolved) == (["cache", "storage"] if cached else ["storage"])


def test_missing_bytes_are_refused(repo: Repository, project: Path, tmp_path: Path) -> None:
    empty_cache(project)
    shutil.rmtree(project.parent / "storage")
    resolved = resolve_version(repo, "flight-delay", "v1.0.0")
    with pytest.raises(ObjectMissing, match="storage") as caught:
        fetch(repo, resolved, tmp_path / "out")
    assert "dvc push" in caught.value.fix
    assert places(repo, resolved) == []


@pytest.mark.parametrize("name", ["single", "flight-delay"])
def test_a_corrupt_cache_is_passed_over_and_a_corrupt_remote_is_an_error(
    repo: Repository, project: Path, tmp_path: Path, name: str
) -> None:
    resolved = resolve_at(repo, name, repo.tip())
    suffix = ".dir" if resolved.is_dir else ""
    for folder in (project / ".dvc" / "cache", project.parent / "storage"):
        broken = object_of(folder, resolved.digest, suffix)
        broken.chmod(0o644)
        whole = broken.read_bytes()
        broken.write_bytes(whole.replace(b"5", b"6") + b" ")
        if folder.name == "cache":
            assert b"depth: 5\n" in read(repo, resolved).values()
    with pytest.raises(ObjectCorrupt, match="do not hash") as caught:
        fetch(repo, resolved, tmp_path / "out")
    assert str(project.parent / "storage") in caught.value.why


def test_a_manifest_cannot_write_outside_of_its_folder(repo: Repository, project: Path, tmp_path: Path) -> None:
    evil = b'[{"md5": "%s", "relpath": "../evil"}]' % hashlib.md5(b"x").hexdigest().encode()
    digest = md5(evil)
    store = object_of(project.parent / "storage", digest, ".dir")
    store.parent.mkdir(parents=True, exist_ok=True)
    store.write_bytes(evil)
    text = f"outs:\n- md5: {digest[4:]}.dir\n  hash: md5\n  path: evil\n"
    commit = commit_file(project, "evil.dvc", text)
    resolved = resolve_path(repo, commit, "evil")
    with pytest.raises(ObjectCorrupt, match=r"names '\.\./evil'"):
        fetch(repo, resolved, tmp_path / "out")
    assert not (tmp_path / "evil").exists()


def test_a_cache_elsewhere_and_a_linked_work_tree(repo: Repository, project: Path) -> None:
    shutil.rmtree(project.parent / "storage")
    git(project, "worktree", "add", "-q", "../linked", "-b", "linked")
    with Repository.open(project.parent / "linked") as linked:
        assert read(linked, resolve_version(linked, "flight-delay", "v1.0.0"))
    (project / ".dvc" / "cache").rename(project.parent / "big-disk")
    run(project, "dvc", "cache", "dir", "-q", "--local", "../big-disk")
    with Repository.open(project) as fresh:
        assert read(fresh, resolve_version(fresh, "flight-delay", "v1.0.0"))


def test_a_remote_over_http(repo: Repository, project: Path) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(project.parent / "storage"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        run(project, "dvc", "remote", "add", "-q", "-d", "-f", "storage", url)
        git(project, "commit", "-qam", "Serve the models over HTTP")
        git(project, "push", "-q")
        empty_cache(project)
        repo.fetch()
        resolved = resolve_version(repo, "flight-delay", "v1.0.0")
        assert read(repo, resolved)["manifest.json"] == b"depth: 4\n"
        assert places(repo, resolved) == ["storage"]
        broken = object_of(project.parent / "storage", resolved.digest, ".dir")
        broken.chmod(0o644)
        broken.write_bytes(b"[]")
        with pytest.raises(ObjectCorrupt, match=r"remote storage"):
            read(repo, resolved)
        broken.unlink()
        with pytest.raises(ObjectMissing):
            read(repo, resolved)
        server.shutdown()
    with pytest.raises(SourceUnavailable, match="storage"):
        read(repo, resolved)


def test_an_import_comes_through_dvc(repo: Repository, project: Path, lone: Path) -> None:
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "models/flight-delay", "-o", "imported")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import the model")
    with Repository.open(lone) as repository:
        for cached in (True, False):
            resolved = resolve_path(repository, repository.tip(), "imported")
            assert (resolved.kind, resolved.digest) == (
                "indirect",
                resolve_version(repo, "flight-delay", "v1.1.0").digest,
            )
            assert read(repository, resolved, {"manifest.json"}) == {"manifest.json": b"depth: 5\n"}
            one = resolve_path(repository, repository.tip(), "one.txt")
            assert read(repository, one) == {"one.txt": b"depth: 5\n"}
            if cached:
                empty_cache(lone)


def test_objects_of_dvc_2_are_read(lone: Path) -> None:
    # DVC 2 hashed text with its line ends made uniform, and kept objects directly under the cache.
    run(lone, "dvc", "init", "-q")
    text = b"one\r\ntwo\r\n"
    digest = hashlib.md5(text.replace(b"\r\n", b"\n")).hexdigest()
    place = lone / ".dvc" / "cache" / digest[:2] / digest[2:]
    place.parent.mkdir(parents=True)
    place.write_bytes(text)
    (lone / ".gitignore").write_text("/old.txt\n")
    commit_file(lone, "old.txt.dvc", f"outs:\n- md5: {digest}\n  size: {len(text)}\n  path: old.txt\n")
    with Repository.open(lone) as repository:
        resolved = resolve_path(repository, repository.tip(), "old.txt")
        assert (resolved.kind, resolved.digest) == ("indirect", f"md5:{digest}")
        assert read(repository, resolved) == {"old.txt": text}
        place.chmod(0o644)
        place.write_bytes(b"changed")
        with pytest.raises((ObjectCorrupt, ObjectMissing)):
            read(repository, resolved)
