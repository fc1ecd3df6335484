"""What a version holds, against real git, dvc and gto, and without a checkout."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from gitops_ml.clients.artifacts.fetching import fetch
from gitops_ml.clients.artifacts.path_digests import lineage_of, resolve_path
from gitops_ml.clients.artifacts.resolution import read, resolve_at, resolve_version
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.lineage import Lineage
from gitops_ml.errors import (
    GitopsError,
    InputError,
    VersionMoved,
    VersionNotFound,
    VersionRefused,
)
from tests.git.conftest import PIPELINE, commit_file, git, run
from tests.git.models.objects import digest_in_lock, empty_cache, md5


def test_a_version_that_gto_registered(repo: Repository, project: Path, tmp_path: Path) -> None:
    resolved = resolve_version(repo, "flight-delay", "v1.0.0")
    assert resolved.commit == git(project, "rev-parse", "flight-delay@v1.0.0^{commit}") == repo.resolve("main~1")
    assert (resolved.path, resolved.kind, resolved.is_dir) == ("models/flight-delay", "dvc", True)
    assert resolved.digest == digest_in_lock(repo, resolved.commit, resolved.path)
    files = {f.name: f.path.read_bytes() for f in fetch(repo, resolved, tmp_path / "out")}
    assert files == {"manifest.json": b"depth: 4\n", "code/example.csv": b"a,b\n1,2\n"}
    assert read(repo, resolved, {"manifest.json"}) == {"manifest.json": b"depth: 4\n"}


def test_lineage_comes_from_the_commit_of_the_version(repo: Repository) -> None:
    """Held-out rows among these inputs would not be unseen rows."""
    resolved = resolve_version(repo, "flight-delay", "v1.0.0")
    assert set(lineage_of(repo, resolved).inputs.values()) == {md5(b"depth: 4\n")}
    added = resolve_version(repo, "rows", "v1.0.0")
    assert lineage_of(repo, added) == Lineage()


def test_the_work_tree_is_not_read(repo: Repository, project: Path) -> None:
    for name in ("dvc.yaml", "dvc.lock", "params.yaml"):
        (project / name).write_text("nonsense: [\n")
    shutil.rmtree(project / "models")
    (project / ".dvc" / "config").write_text("")
    empty_cache(project)
    resolved = resolve_version(repo, "flight-delay", "v1.0.0")
    assert read(repo, resolved)["manifest.json"] == b"depth: 4\n"


def test_files_of_dvc_and_of_git_resolve(repo: Repository, tmp_path: Path) -> None:
    tip = repo.tip()
    for path, data in {
        "model.txt": b"depth: 5\n",
        "data/rows.csv": b"day,late\n1,0\n2,1\n",
        "plain/model.json": b'{"weights": [1, 2]}\n',
        "models/flight-delay/manifest.json": b"depth: 5\n",
    }.items():
        resolved = resolve_path(repo, tip, path)
        assert (resolved.digest, resolved.is_dir) == (md5(data), False), path
        assert read(repo, resolved) == {Path(path).name: data}
    inside = resolve_path(repo, tip, "models/flight-delay/code")
    assert inside.is_dir and read(repo, inside) == {"example.csv": b"a,b\n1,2\n"}
    assert resolve_at(repo, "inside", tip).digest == inside.digest
    assert resolve_version(repo, "rows", "v1.0.0").path == "data/rows.csv"


def test_a_folder_in_git_has_the_digest_that_dvc_would_give_it(repo: Repository, project: Path) -> None:
    resolved = resolve_at(repo, "git-folder", repo.tip())
    assert (resolved.kind, resolved.is_dir) == ("git", True)
    shutil.copytree(project / "plain", project / "copy")
    run(project, "dvc", "add", "-q", "copy")
    outs = yaml.safe_load((project / "copy.dvc").read_text())["outs"]
    assert resolved.digest == "md5:" + outs[0]["md5"].removesuffix(".dir")


def test_any_git_revision_is_a_version(repo: Repository, project: Path) -> None:
    git(project, "tag", "release-7", "main~1")
    git(project, "push", "-q", "origin", "release-7")
    repo.fetch()
    older = resolve_version(repo, "flight-delay", "v1.0.0").digest
    assert resolve_version(repo, "flight-delay", "release-7").digest == older
    assert resolve_version(repo, "flight-delay", repo.resolve("main~1")[:12]).digest == older
    newest = resolve_version(repo, "flight-delay", "latest", latest=True)
    assert (newest.version, newest.digest) == ("v1.1.0", resolve_version(repo, "flight-delay", "main").digest)
    with pytest.raises(VersionNotFound):
        resolve_version(repo, "flight-delay", "HEAD")


@pytest.mark.parametrize(
    ("model", "version", "kind", "says"),
    [
        ("flight-delay", "v7.0.0", VersionNotFound, "v7.0.0 does not exist.*v1.1.0, v1.0.0"),
        ("flight-delay", "1.0.0", VersionNotFound, "write v1.0.0"),
        ("flight-delay", "v0.9.0", VersionRefused, "deregistered.*v1.1.0"),
        ("flight-delaay", "main", VersionNotFound, "not under artifacts: in dvc.yaml.*did you mean flight-delay"),
        ("sub/other:flight-delay", "main", VersionNotFound, "no sub/other/dvc.yaml"),
        ("_x", "main", InputError, "no model name"),
        ("external", "main", VersionRefused, "external path: s3://bucket/model.*dvc import-url"),
        ("outside", "main", VersionRefused, "outside the repository"),
        ("absent", "main", VersionNotFound, "models/never-made is not in commit.*dvc repro"),
        ("flight-delay", "latest", VersionRefused, "without a commit that says so"),
    ],
)
def test_an_unresolved_version_says_why(
    repo: Repository, model: str, version: str, kind: type[GitopsError], says: str
) -> None:
    with pytest.raises(kind, match=f"(?s){says}") as caught:
        resolve_version(repo, model, version)
    assert caught.value.fix


def test_a_moved_tag_is_refused_against_its_pin(repo: Repository, project: Path) -> None:
    pinned = resolve_version(repo, "flight-delay", "v1.0.0").digest
    assert resolve_version(repo, "flight-delay", "v1.0.0", f"{pinned}.dir").digest == pinned
    git(project, "tag", "-f", "-a", "-m", "moved", "flight-delay@v1.0.0", "main")
    git(project, "push", "-q", "-f", "origin", "flight-delay@v1.0.0")
    repo.fetch()
    with pytest.raises(VersionMoved, match=pinned) as caught:
        resolve_version(repo, "flight-delay", "v1.0.0", pinned)
    assert "gitops-ml bump" in caught.value.fix


def test_a_lightweight_tag_is_no_version(repo: Repository, project: Path) -> None:
    git(project, "tag", "flight-delay@v3.0.0")
    with pytest.raises(VersionNotFound, match="lightweight"):
        resolve_version(repo, "flight-delay", "v3.0.0", local=True)


def test_links_and_lfs_pointers_are_refused(repo: Repository, project: Path) -> None:
    (project / "plain" / "link").symlink_to("/etc/passwd")
    git(project, "add", "plain")
    git(project, "commit", "-qm", "Add a link")
    with pytest.raises(VersionRefused, match="symbolic link"):
        resolve_at(repo, "git-folder", repo.resolve("HEAD"))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 3\n"
    commit = commit_file(project, "lfs.bin", pointer)
    with pytest.raises(VersionRefused, match="Git LFS"):
        resolve_path(repo, commit, "lfs.bin")


def test_a_folder_above_several_outputs_is_refused(repo: Repository) -> None:
    with pytest.raises(VersionRefused, match="folder that contains outputs: models/flight-delay"):
        resolve_path(repo, repo.tip(), "models")


def test_a_stage_that_works_in_another_folder(repo: Repository, project: Path) -> None:
    (project / "pipelines").mkdir()
    (project / "pipelines" / "dvc.yaml").write_text(
        "stages:\n  make@each:\n    foreach: [a]\n    do:\n      wdir: ../elsewhere\n"
        '      cmd: echo ${item} > ${item}.txt\n      outs: ["${item}.txt"]\n'.replace("make@each", "make")
    )
    (project / "elsewhere").mkdir()
    run(project, "dvc", "repro", "-q", "pipelines/dvc.yaml")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Work elsewhere")
    resolved = resolve_path(repo, repo.resolve("HEAD"), "elsewhere/a.txt")
    assert resolved.digest == md5(b"a\n")
    assert read(repo, resolved) == {"a.txt": b"a\n"}


def test_an_artifact_of_a_dvc_yaml_in_a_folder(repo: Repository, project: Path) -> None:
    commit_file(project, "sub/one/model.json", "{}\n")
    commit_file(project, "sub/one/dvc.yaml", "artifacts:\n  tiny: {path: model.json, type: model}\n")
    run(project, "gto", "register", "sub/one:tiny", "--version", "v1.0.0")
    resolved = resolve_version(repo, "sub/one:tiny", "v1.0.0", local=True)
    assert (resolved.path, resolved.digest) == ("sub/one/model.json", md5(b"{}\n"))


def test_an_output_that_dvc_does_not_cache_is_read_from_git(repo: Repository, project: Path) -> None:
    text = PIPELINE.replace("model.txt]", "{model.txt: {cache: false}}]")
    (project / "dvc.yaml").write_text(text)
    run(project, "dvc", "repro", "-q", "-f")
    git(project, "add", "-A")
    git(project, "add", "-f", "model.txt")
    git(project, "commit", "-qm", "Keep it in Git")
    resolved = resolve_path(repo, repo.resolve("HEAD"), "model.txt")
    assert (resolved.kind, resolved.digest) == ("git", md5(b"depth: 5\n"))
