"""Fetching: what was fetched is all that counts, and a fetch that fails changes nothing."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, SourceUnavailable
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
