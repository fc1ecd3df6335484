"""Fetching and reading: what was fetched is all that counts, and a fetch that fails changes nothing."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, SourceError, SourceUnavailable, VersionNotFound
from tests.git.cli_clone import shell
from tests.git.conftest import commit_file, git

Clone = Callable[[str], Path]


def refs(folder: Path) -> str:
    return git(folder, "for-each-ref")


def test_the_tip_is_the_fetched_one_and_not_the_work_tree_s(repo: Repository, project: Path, other: Clone) -> None:
    theirs = commit_file(other("bob"), "x.txt", "theirs")
    git(project.parent / "bob", "push", "-q")
    commit_file(project, "mine.txt", "mine")
    assert repo.fetch() == theirs == repo.tip()
    assert repo.read_file(repo.tip(), "x.txt") == b"theirs"
    assert repo.read_file(repo.tip(), "mine.txt") is None


def test_a_detached_clone_follows_the_remote_s_main_branch(project: Path) -> None:
    git(project, "checkout", "-q", "--detach")
    with Repository.open(project) as repository:
        assert (repository.remote, repository.branch) == ("origin", "main")
        assert repository.fetch() == git(project, "rev-parse", "origin/main")


def test_a_branch_follows_its_upstream_of_another_name(project: Path) -> None:
    git(project, "push", "-q", "origin", "main:release")
    git(project, "switch", "-q", "-c", "mine", "--track", "origin/release")
    with Repository.open(project) as repository:
        assert repository.branch == "release"


def test_two_remotes_of_which_none_is_origin_have_to_be_chosen(project: Path) -> None:
    git(project, "remote", "rename", "origin", "up")
    git(project, "remote", "add", "down", "../other.git")
    git(project, "branch", "--unset-upstream")
    with pytest.raises(InputError, match="several remotes"):
        _ = Repository.open(project).branch


def test_without_a_remote_the_current_branch_is_followed(lone: Path) -> None:
    with Repository.open(lone) as repository:
        assert (repository.remote, repository.branch) == (None, "main")
        assert repository.fetch() == git(lone, "rev-parse", "HEAD")


def test_a_remote_that_is_gone_changes_nothing(repo: Repository, project: Path) -> None:
    before, tip = refs(project), repo.tip()
    (project.parent / "origin.git").rename(project.parent / "moved.git")
    with pytest.raises(SourceUnavailable, match="could not be fetched"):
        repo.fetch()
    assert (refs(project), repo.tip()) == (before, tip)


def test_a_fetch_that_was_begun_is_the_next_one_s(repo: Repository, project: Path, other: Clone) -> None:
    theirs = commit_file(other("bob"), "x.txt", "theirs")
    git(project.parent / "bob", "push", "-q")
    repo.begin_fetch()
    assert repo.fetch() == theirs
    later = commit_file(project.parent / "bob", "x.txt", "theirs again")
    git(project.parent / "bob", "push", "-q")
    assert repo.fetch() == later


def test_what_goes_wrong_in_a_fetch_that_was_begun_is_raised_where_it_is_waited_for(
    repo: Repository, project: Path
) -> None:
    (project.parent / "origin.git").rename(project.parent / "moved.git")
    repo.begin_fetch()
    with pytest.raises(SourceUnavailable, match="could not be fetched"):
        repo.fetch()
    (project.parent / "moved.git").rename(project.parent / "origin.git")
    assert repo.fetch() == repo.tip()


def test_a_remote_that_became_empty_changes_nothing(repo: Repository, project: Path) -> None:
    before = refs(project)
    shutil.rmtree(project.parent / "origin.git")
    git(project.parent, "init", "-q", "--bare", "origin.git")
    with pytest.raises(SourceUnavailable, match="main"):
        repo.fetch()
    assert refs(project) == before


@pytest.mark.parametrize("clone", ["follows", "local branch", "detached"])
def test_a_branch_that_was_renamed_at_the_remote(repo: Repository, project: Path, clone: str) -> None:
    bare = project.parent / "origin.git"
    git(bare, "branch", "-m", "main", "trunk")
    git(bare, "symbolic-ref", "HEAD", "refs/heads/trunk")
    git(project, "remote", "set-head", "origin", "main")
    if clone == "local branch":
        git(project, "branch", "trunk")
    if clone == "detached":
        git(project, "checkout", "-q", "--detach")
    with Repository.open(project) as repository, pytest.raises(SourceUnavailable) as caught:
        repository.fetch()
    assert str(caught.value).startswith("origin has no branch main any more: its main branch is trunk")
    shell(project.parent, caught.value.fix)
    with Repository.open(project) as repository:
        assert (repository.branch, repository.fetch()) == ("trunk", git(bare, "rev-parse", "trunk"))


def test_a_branch_that_was_deleted_at_the_remote_and_has_no_successor(repo: Repository, project: Path) -> None:
    bare = project.parent / "origin.git"
    git(bare, "update-ref", "refs/heads/trunk", "refs/heads/main")
    git(bare, "update-ref", "-d", "refs/heads/main")
    with pytest.raises(SourceUnavailable, match="it has trunk, and none is its main one") as caught:
        repo.fetch()
    shell(project.parent, caught.value.fix.replace("<branch>", "trunk"))
    with Repository.open(project) as repository:
        assert repository.fetch() == git(bare, "rev-parse", "trunk")


def test_a_remote_that_lost_an_object_changes_nothing(repo: Repository, project: Path, other: Clone) -> None:
    bob = other("bob")
    commit_file(bob, "big.txt", "".join(f"{n}\n" for n in range(9999)))
    git(bob, "push", "-q")
    before = refs(project)
    blob = git(bob, "rev-parse", "HEAD:big.txt")
    (project.parent / "origin.git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(SourceUnavailable):
        repo.fetch()
    assert refs(project) == before


def test_a_fetch_that_hangs_is_ended_with_what_it_started(repo: Repository, project: Path) -> None:
    # A transport that never answers: what a dead VPN looks like.
    git(project, "config", "remote.origin.uploadpack", "sleep 30; true")
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match="did not end within"):
        repo.fetch(timeout=0.5)
    assert time.monotonic() - began < 5


def test_a_tag_that_moves_or_goes_on_the_remote_does_so_here(repo: Repository, project: Path, other: Clone) -> None:
    own = git(project, "rev-parse", "flight-delay@v1.1.0")
    bob = other("bob")
    git(bob, "tag", "-f", "-a", "-m", "moved", "flight-delay@v1.1.0", "HEAD~1")
    git(bob, "push", "-q", "-f", "origin", "flight-delay@v1.1.0")
    git(bob, "push", "-q", "origin", ":flight-delay@v1.0.0")
    repo.fetch()
    tags = {t.name: t.commit for t in repo.tags()}
    assert tags["flight-delay@v1.1.0"] == git(bob, "rev-parse", "HEAD~1")
    assert "flight-delay@v1.0.0" not in tags
    # The user's own tags are the user's.
    assert git(project, "rev-parse", "flight-delay@v1.1.0") == own
    assert "flight-delay@v1.0.0" in {t.name for t in repo.tags(local=True)}


@pytest.mark.parametrize("kind", ["heads", "tags"])
def test_a_name_that_becomes_a_folder_and_back(repo: Repository, project: Path, other: Clone, kind: str) -> None:
    bob = other("bob")
    for gone, made in (("", "release"), ("release", "release/1.0"), ("release/1.0", "release")):
        git(bob, "push", "-q", "origin", *([f":refs/{kind}/{gone}"] if gone else []))
        git(bob, "push", "-q", "origin", f"HEAD:refs/{kind}/{made}")
        repo.fetch()
        mirror = f"refs/gitops-ml/origin/{kind}"
        names = git(project, "for-each-ref", "--format=%(refname)", mirror).splitlines()
        assert [n for n in names if "release" in n] == [f"{mirror}/{made}"]


def test_names_with_odd_line_ends_are_read(lone: Path) -> None:
    odd = ["m@\u2028x", "m@\u0085x", "m@x\u0085"]
    for name in odd:
        git(lone, "tag", "-a", "-m", "odd", name)
    git(lone, "branch", "b\u2028r")
    with Repository.open(lone) as repository:
        assert {t.name for t in repository.tags()} == set(odd)
        assert repository.find_tip("b\u2028r") == repository.tip()


def test_odd_names_on_the_remote_are_fetched_and_seen_to_be_current(
    repo: Repository, project: Path, other: Clone
) -> None:
    bob = other("bob")
    git(bob, "tag", "m@\u2028x")
    git(bob, "push", "-q", "origin", "m@\u2028x", "HEAD:refs/heads/b\u0085")
    repo.fetch()
    assert "m@\u2028x" in {t.name for t in repo.tags()}
    assert repo.find_tip("b\u0085") == repo.tip()
    (project.parent / "origin.git" / "packed-refs").touch()
    assert repo.fetch() == repo.tip()


def test_a_shallow_clone_learns_its_history(project: Path) -> None:
    place = project.parent / "shallow"
    git(project.parent, "clone", "-q", "--depth=1", f"file://{project.parent}/origin.git", "shallow")
    with Repository.open(place) as repository:
        tip = repository.fetch()
        assert repository.is_ancestor(git(project, "rev-parse", "HEAD~2"), tip)
        assert {t.name for t in repository.tags()} >= {"flight-delay@v1.0.0", "flight-delay@v1.1.0"}


def test_passes_that_fetch_at_once_do_not_fail_each_other(project: Path, other: Clone) -> None:
    commit_file(other("bob"), "x.txt", "theirs")
    git(project.parent / "bob", "push", "-q")
    errors: list[Exception] = []

    def one() -> None:
        try:
            with Repository.open(project) as repository:
                for _ in range(3):
                    repository.fetch()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


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
