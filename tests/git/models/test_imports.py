"""Models that `dvc import` brings: each repository on the way is judged as the first one is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.resolution import places, read
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import GitopsError, InputError, ObjectMissing, SourceUnavailable, VersionRefused
from tests.git.conftest import commit_file, git, run
from tests.git.models.objects import empty_cache

PROGRAM = "['remote \"far\"']\nurl = webdavs://localhost:1/models\nbearer_token_command = touch {}\n"


@pytest.fixture
def importer(project: Path, lone: Path) -> Path:
    """A repository that imports `model.txt` from `project`, and has its bytes nowhere."""
    run(lone, "dvc", "init", "-q")
    run(lone, "dvc", "import", "-q", str(project), "model.txt", "-o", "one.txt")
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import the model")
    empty_cache(lone)
    return lone


def lock(importer: Path, source: Path, path: str = "model.txt", **repo: Any) -> str:
    """Edit the import by hand, as an attacker would, and commit it."""
    file = importer / "one.txt.dvc"
    document = yaml.safe_load(file.read_text())
    document["deps"][0]["path"] = path
    document["deps"][0]["repo"] |= {"rev_lock": git(source, "rev-parse", "HEAD"), **repo}
    return commit_file(importer, "one.txt.dvc", yaml.safe_dump(document))


def read_one(importer: Path, path: str = "one.txt") -> dict[str, bytes]:
    with Repository.open(importer) as repository:
        return read(repository, resolve_path(repository, repository.tip(), path))


@pytest.mark.parametrize("file", [".dvc/config", ".dvc/config.local"])
@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_the_configuration_of_the_other_repository_names_no_program(
    importer: Path, project: Path, tmp_path: Path, file: str, form: str
) -> None:
    """DVC reads that configuration, and runs WebDAV's `bearer_token_command` in a shell."""
    mark = tmp_path / "mark"
    config = (project / file).read_text() if file == ".dvc/config" else ""
    (project / file).write_text(config + PROGRAM.format(mark))
    git(project, "add", "-f", file)
    git(project, "commit", "-qm", "Say where models are")
    lock(importer, project, url=form.format(project))
    expected = f"{file} of {form.format(project)} sets `bearer_token_command`"
    if file == ".dvc/config.local" and form == "file://{}":  # no clone of anybody's, so that file says nothing
        expected = "cannot be got"
    with pytest.raises(GitopsError, match=expected):
        read_one(importer)
    assert not mark.exists()


def test_this_clones_own_configuration_is_not_in_git(importer: Path, tmp_path: Path) -> None:
    # A folder, which needs no program: what is judged is the key.
    program = PROGRAM.format(tmp_path / "mark").replace("webdavs://localhost:1/models", str(tmp_path / "none"))
    (importer / ".dvc/config.local").write_text(program)
    assert read_one(importer)
    git(importer, "add", "-f", ".dvc/config.local")
    git(importer, "commit", "-qm", "Say where models are")
    with pytest.raises(InputError, match=r"\.dvc/config\.local sets `bearer_token_command`") as caught:
        read_one(importer)
    run(importer, *caught.value.fix.split())
    git(importer, "commit", "-qm", "Say it to nobody")
    assert read_one(importer)


def test_the_configuration_of_an_older_commit_names_no_program(project: Path, lone: Path, tmp_path: Path) -> None:
    """What only DVC can read (objects of DVC 2) is read with the configuration of the version's own commit, too."""
    run(lone, "dvc", "init", "-q")
    remote = tmp_path / "remote"
    digest = "8b32ac2d4be6b9b2b9d1bd8a0a3b7a06"
    run(lone, "dvc", "remote", "add", "-q", "-d", "far", str(remote))
    config = (lone / ".dvc/config").read_text()
    (lone / ".dvc/config").write_text(config + f"bearer_token_command = touch {tmp_path}/mark\n")
    git(lone, "add", ".dvc")
    git(lone, "commit", "-qm", "Say where models are")
    old = commit_file(lone, "old.txt.dvc", f"outs:\n- {{md5: {digest}, path: old.txt, size: 9}}\n")
    (lone / ".dvc/config").write_text(config)
    git(lone, "commit", "-qam", "Run nothing")
    with Repository.open(lone) as repository, pytest.raises(InputError, match="sets `bearer_token_command`"):
        read(repository, resolve_path(repository, old, "old.txt"))


@pytest.mark.parametrize("where", ["folder", "bare"])
def test_an_import_of_an_import_is_followed(importer: Path, project: Path, tmp_path: Path, where: str) -> None:
    second = tmp_path / "second"
    run(tmp_path, "git", "init", "-q", "second")
    run(second, "dvc", "init", "-q")
    source = importer
    if where == "bare":
        run(tmp_path, "git", "clone", "-q", "--bare", str(importer), "bare.git")
        source = tmp_path / "bare.git"
    run(second, "dvc", "import", "-q", "--no-download", str(source), "one.txt", "-o", "two.txt")
    run(second, "dvc", "update", "-q", "two.txt.dvc")
    git(second, "add", "-A")
    git(second, "commit", "-qm", "Import the import")
    empty_cache(second)
    assert read_one(second, "two.txt") == {"two.txt": b"depth: 5\n"}
    lock(importer, project, config={"core": {"site_cache_dir": str(tmp_path / "evil")}})
    run(second, "dvc", "config", "-q", "core.autostage", "false")
    document = yaml.safe_load((second / "two.txt.dvc").read_text())
    document["deps"][0]["repo"] |= {"url": str(importer), "rev_lock": git(importer, "rev-parse", "HEAD")}
    commit_file(second, "two.txt.dvc", yaml.safe_dump(document))
    with pytest.raises(VersionRefused, match=r"one.txt.dvc sets `core.site_cache_dir`"):
        read_one(second, "two.txt")
    lock(importer, project, url="http://169.254.169.254/x", config={})
    document["deps"][0]["repo"]["rev_lock"] = git(importer, "rev-parse", "HEAD")
    commit_file(second, "two.txt.dvc", yaml.safe_dump(document))
    with pytest.raises(VersionRefused, match=r"169\.254\.169\.254/x, which may not be read"):
        read_one(second, "two.txt")


def test_imports_in_a_circle_end(importer: Path) -> None:
    lock(importer, importer, "one.txt", url=str(importer), rev_lock="main")
    with pytest.raises(VersionRefused, match=r"one\.txt is imported from .*lone") as caught:
        read_one(importer)
    assert "in a circle" in caught.value.why


def test_a_folder_with_outputs_and_files_of_git(project: Path, lone: Path) -> None:
    (project / "mixed/sub").mkdir(parents=True)
    for name in ("big.bin", "sub/deep.bin", "plain.txt"):
        (project / "mixed" / name).write_text(name)
    run(project, "dvc", "add", "-q", "mixed/big.bin", "mixed/sub/deep.bin")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Keep large files elsewhere")
    run(lone, "dvc", "init", "-q")
    for path in ("mixed", "plain", "data"):
        run(lone, "dvc", "import", "-q", str(project), path)
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Import folders")
    empty_cache(lone)
    files = read_one(lone, "mixed")
    assert {name: files[name] for name in files if "git" not in name} == {
        "big.bin": b"big.bin",
        "plain.txt": b"plain.txt",
        "sub/deep.bin": b"sub/deep.bin",
    }
    for path in ("plain", "data"):
        expected = {str(f.relative_to(project / path)) for f in (project / path).rglob("*") if f.is_file()}
        assert set(read_one(lone, path)) == {name for name in expected if not name.endswith(".dvc")}


@pytest.mark.parametrize(
    "extra", [{"remote": "moved"}, {"remote": {"url": "{}"}}, {"config": {"core": {"remote": "moved"}}}]
)
def test_the_remote_that_an_import_names_is_read(
    importer: Path, project: Path, tmp_path: Path, extra: dict[str, Any]
) -> None:
    moved = tmp_path / "moved"
    shutil.move(project.parent / "storage", moved)
    empty_cache(project)
    with pytest.raises(ObjectMissing, match=f"cannot be got from {project}") as caught:
        read_one(importer)
    assert "are nowhere" in caught.value.why and caught.value.fix.endswith("dvc pull one.txt")
    named = {"url": str(moved)}
    text = yaml.safe_dump(extra).format(moved)
    lock(importer, project, **({"config": {"remote": {"moved": named}}} | yaml.safe_load(text)))
    if extra == {"config": {"core": {"remote": "moved"}}}:
        lock(importer, project, config={"core": {"remote": "moved"}, "remote": {"moved": named}})
    assert read_one(importer) == {"one.txt": b"depth: 5\n"}


def test_a_repository_that_does_not_answer_is_asked_again(importer: Path, project: Path, tmp_path: Path) -> None:
    commit = lock(importer, project, url=str(tmp_path / "gone"))
    with Repository.open(importer) as repository:
        resolved = resolve_path(repository, commit, "one.txt")
        with pytest.raises(SourceUnavailable, match="cannot be fetched") as caught:
            read(repository, resolved)
        assert "git ls-remote" in caught.value.fix and places(repository, resolved) == []
    lock(importer, project, rev_lock="a:refs/heads/b")
    with pytest.raises(VersionRefused, match="names the revision"):
        read_one(importer)
