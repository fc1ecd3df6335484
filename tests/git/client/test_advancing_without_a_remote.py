"""Without a remote, the checked-out branch moves with its files, and the user's edits stay as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.clients.git import worktree
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import PushRejected
from tests.git.client.clones import DECLARATION, RECORD, hook, state
from tests.git.conftest import commit_file, git


def test_without_a_remote_the_checked_out_files_move_along(lone: Path) -> None:
    (lone / "a.txt").write_text("edited\n")
    (lone / "staged.txt").write_text("staged\n")
    git(lone, "add", "staged.txt")
    before = git(lone, "status", "--porcelain")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        made = repository.commit_files(tip, {RECORD: b"verdict\n", DECLARATION: b"reverted\n"}, "Record")
        assert repository.advance(made, tip) == "pushed"
        assert repository.tip() == made
    assert git(lone, "rev-parse", "HEAD") == made
    assert (lone / RECORD).read_text() == "verdict\n"
    assert (lone / DECLARATION).read_text() == "reverted\n"
    assert git(lone, "status", "--porcelain") == before


@pytest.mark.parametrize("staged", [False, True])
def test_uncommitted_edits_on_those_very_files_stop_it(lone: Path, staged: bool) -> None:
    (lone / DECLARATION).write_text("mine\n")
    if staged:
        git(lone, "add", DECLARATION)
    before = state(lone)
    with Repository.open(lone) as repository:
        tip = repository.tip()
        made = repository.commit_files(tip, {RECORD: b"verdict\n", DECLARATION: b"reverted\n"}, "Record")
        with pytest.raises(PushRejected, match=r"uncommitted edits .*m\.yaml") as caught:
            repository.advance(made, tip)
        assert "git" in caught.value.fix and "commit" in caught.value.fix
    assert state(lone) == before
    assert not (lone / RECORD).exists()


def test_an_untracked_file_in_the_way_stops_it(lone: Path) -> None:
    (lone / RECORD).parent.mkdir()
    (lone / RECORD).write_text("mine\n")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        with pytest.raises(PushRejected):
            repository.advance(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip)
    assert (lone / RECORD).read_text() == "mine\n"
    assert git(lone, "rev-parse", "HEAD") == tip


def test_a_commit_that_came_first_without_a_remote_is_a_race(lone: Path) -> None:
    with Repository.open(lone) as repository:
        tip = repository.tip()
        made = repository.commit_files(tip, {RECORD: b"x"}, "Record")
        mine = commit_file(lone, "a.txt", "two\n")
        assert repository.advance(made, tip) == "raced"
        assert repository.tip() == mine
    assert git(lone, "status", "--porcelain") == ""


def test_a_branch_that_is_not_checked_out_moves_alone(lone: Path) -> None:
    git(lone, "branch", "records")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        assert repository.advance(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip, "records") == "pushed"
    assert git(lone, "rev-parse", "HEAD") == tip
    assert not (lone / RECORD).exists()


def test_a_branch_in_another_work_tree_moves_there(lone: Path, tmp_path: Path) -> None:
    git(lone, "worktree", "add", "-q", str(tmp_path / "second"), "-b", "release")
    with Repository.open(lone) as repository:
        tip = repository.tip("release")
        made = repository.commit_files(tip, {RECORD: b"x"}, "Record")
        assert repository.advance(made, tip, "release") == "pushed"
    assert (tmp_path / "second" / RECORD).read_text() == "x"
    assert not (lone / RECORD).exists()


def test_hooks_and_locks_of_the_user_do_not_stand_in_the_way(lone: Path) -> None:
    for name in ("pre-commit", "commit-msg", "reference-transaction", "post-checkout"):
        hook(lone / ".git", name, "exit 1")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        assert repository.advance(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip) == "pushed"


def test_a_locked_index_leaves_everything_as_it_was(lone: Path) -> None:
    (lone / ".git" / "index.lock").touch()
    with Repository.open(lone) as repository:
        tip = repository.tip()
        with pytest.raises(PushRejected):
            repository.advance(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip)
        assert repository.tip() == tip
    (lone / ".git" / "index.lock").unlink()
    assert git(lone, "status", "--porcelain") == ""
    commit_file(lone, "a.txt", "no lock was left\n")


@pytest.mark.parametrize("edited", [False, True])
def test_a_process_that_dies_between_the_files_and_the_ref(
    lone: Path, monkeypatch: pytest.MonkeyPatch, edited: bool
) -> None:
    (lone / "a.txt").write_text("edited\n")
    before = state(lone)
    with Repository.open(lone) as repository:
        tip = repository.tip()
        made = repository.commit_files(tip, {RECORD: b"x", DECLARATION: b"reverted\n"}, "Record")
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(worktree.Transaction, "commit", _die)
            repository.advance(made, tip)
        assert (lone / RECORD).exists() and git(lone, "rev-parse", "HEAD") == tip
        again = repository.commit_files(tip, {RECORD: b"y"}, "Record anew")
        if edited:
            # What was left behind and then edited is the user's now.
            (lone / RECORD).write_text("mine")
            with pytest.raises(PushRejected, match="uncommitted edits"):
                repository.advance(again, tip)
            assert (lone / RECORD).read_text() == "mine"
            return
        assert repository.advance(again, tip) == "pushed"
    assert (lone / RECORD).read_text() == "y"
    assert git(lone, "status", "--porcelain") == before[0]


def _die(_: object) -> None:
    raise KeyboardInterrupt
