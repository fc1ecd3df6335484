"""Reading a clone: its files, history and versions, without a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import SourceError, VersionNotFound
from tests.git.conftest import commit_file, git


def test_names_with_odd_line_ends_are_read(lone: Path) -> None:
    odd = ["m@\u2028x", "m@\u0085x", "m@x\u0085"]
    for name in odd:
        git(lone, "tag", "-a", "-m", "odd", name)
    git(lone, "branch", "b\u2028r")
    with Repository.open(lone) as repository:
        assert {t.name for t in repository.tags()} == set(odd)
        assert repository.find_tip("b\u2028r") == repository.tip()


def test_the_caller_s_own_git_command_does_not_lead_elsewhere(
    repo: Repository, project: Path, lone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(lone / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(lone / "index"))
    with Repository.open(project) as repository:
        assert repository.root == project
        assert repository.fetch() == repo.tip()


def test_no_repository_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no Git repository"):
        Repository.open(tmp_path)
    with pytest.raises(SourceError, match="no folder"):
        Repository.open(tmp_path / "absent")


def test_a_file_is_no_repository(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(SourceError, match="file is no folder\n  fix: name the folder of a Git clone"):
        Repository.open(tmp_path / "file")


def test_a_bare_clone_is_read_too(project: Path) -> None:
    with Repository.open(project.parent / "origin.git") as repository:
        assert repository.bare
        assert repository.read_file(repository.tip(), "params.yaml") == b"depth: 5\n"


def test_files_come_with_their_modes_so_that_links_can_be_refused(lone: Path) -> None:
    (lone / "environments" / "link.yaml").symlink_to("/etc/passwd")
    (lone / "environments" / "big.yaml").write_text("x" * 2000)
    name = "mit leerzeichen \n und ümlaut.yaml"
    (lone / "environments" / name).write_text("odd")
    git(lone, "add", "-A")
    git(lone, "commit", "-qm", "Add odd files")
    with Repository.open(lone) as repository:
        files = repository.read_files(repository.tip(), "environments/", limit=1000)
        assert not files["environments/link.yaml"].regular
        assert (files["environments/big.yaml"].data, files["environments/big.yaml"].size) == (None, 2000)
        assert files[f"environments/{name}"].data == b"odd"
        assert files["environments/dev/models/m.yaml"].regular
        assert repository.read_files(repository.tip(), "nothing") == {}
        assert repository.read_file(repository.tip(), "environments") is None


def test_a_version_is_never_what_only_this_clone_has(repo: Repository, project: Path) -> None:
    git(project, "branch", "mine")
    assert repo.find_shared("HEAD") is None
    assert repo.find_shared("mine") is None
    assert repo.find_shared("main") == repo.find_shared("origin/main") == repo.tip()
    assert repo.find_shared(repo.tip()[:10]) == repo.tip()
    with pytest.raises(VersionNotFound, match="no revision"):
        repo.resolve("nonsense")


def test_reading_goes_on_after_the_reader_died(repo: Repository) -> None:
    repo.read_file(repo.tip(), "params.yaml")
    reader = repo.git.commands.cat_file_all
    assert reader is not None and isinstance(reader.proc, subprocess.Popen)
    reader.kill()
    reader.proc.wait()
    assert repo.read_file(repo.tip(), "dvc.yaml") is not None


def test_ancestry(repo: Repository) -> None:
    older = repo.resolve(f"{repo.tip()}~1")
    assert repo.is_ancestor(older, repo.tip())
    assert not repo.is_ancestor(repo.tip(), older)
    assert not repo.is_ancestor("0" * 40, repo.tip())


def test_the_log_of_a_path(repo: Repository) -> None:
    found = repo.log("params.yaml", n=2)
    assert [c.subject for c in found] == ["Train the deepest model", "Train a deeper model"]
    assert (found[0].id, found[0].author, found[0].email) == (repo.tip(), "Ada", "ada@example.org")


def test_what_a_branch_changed_is_counted_from_where_it_left(repo: Repository, project: Path) -> None:
    git(project, "switch", "-q", "-c", "change")
    mine = commit_file(project, "records/ümlaut.yaml", "x")
    git(project, "switch", "-q", "main")
    commit_file(project, "other.txt", "x")
    assert repo.changed_files("main", mine) == ["records/ümlaut.yaml"]
    with pytest.raises(VersionNotFound):
        repo.changed_files("nonsense", mine)
    git(project, "checkout", "-q", "--orphan", "apart")
    git(project, "commit", "-qm", "Begin anew")
    with pytest.raises(SourceError, match="no history in common"):
        repo.changed_files("apart", mine)
