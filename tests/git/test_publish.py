"""Commits, pushes and tags: compare-and-swap, read back, and never a hair of the user's work tree out of place."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.git import worktree
from gitops_ml.clients.git.commits import Author
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, PushRejected, SourceError
from tests.git.conftest import commit_file, git

Clone = Callable[[str], Path]
RECORD = "environments/dev/records/m.yaml"
DECLARATION = "environments/dev/models/m.yaml"


def state(folder: Path) -> tuple[str, str, str, str]:
    """Everything of a work tree that its user could notice."""
    stash = subprocess.run(["git", "write-tree"], cwd=folder, capture_output=True, text=True, check=True).stdout
    return git(folder, "status", "--porcelain"), git(folder, "rev-parse", "HEAD"), stash, git(folder, "diff")


def hook(bare: Path, name: str, script: str) -> None:
    place = bare / "hooks" / name
    place.write_text(f"#!/bin/sh\n{script}\n")
    place.chmod(0o755)


def test_a_record_is_pushed_without_a_trace_in_the_work_tree(repo: Repository, project: Path) -> None:
    (project / "params.yaml").write_text("depth: 99\n")
    (project / "staged.txt").write_text("staged")
    git(project, "add", "staged.txt")
    before, tip = state(project), repo.tip()
    made = repo.commit_files(tip, {RECORD: b"verdict\n", "params.yaml": None}, "Record dev/m\n")
    assert state(project) == before
    assert repo.publish(made, tip) == "pushed"
    assert state(project) == before
    assert git(project.parent / "origin.git", "rev-parse", "main") == made == repo.tip()
    assert git(project, "diff", "--name-status", tip, made).split() == ["A", RECORD, "D", "params.yaml"]
    assert git(project, "log", "-1", "--format=%an %ae|%cn %ce|%s", made) == (
        "gitops-ml gitops-ml@localhost|Ada ada@example.org|Record dev/m"
    )


def test_no_change_makes_no_commit(repo: Repository) -> None:
    same = repo.read_file(repo.tip(), "params.yaml")
    assert repo.commit_files(repo.tip(), {"params.yaml": same, "nothing": None}, "No") == repo.tip()


def test_a_changed_file_keeps_its_mode(repo: Repository, project: Path) -> None:
    script = project / "run.sh"
    script.write_text("one")
    script.chmod(0o755)
    git(project, "add", "run.sh")
    git(project, "commit", "-qm", "Add a script")
    made = repo.commit_files(repo.resolve("HEAD"), {"run.sh": b"two"}, "Change it", Author("Bob", "b@example.org"))
    entry = repo.entry(made, "run.sh")
    assert entry is not None and entry.mode == "100755"
    assert git(project, "log", "-1", "--format=%an", made) == "Bob"


def test_without_an_identity_gitops_ml_is_the_committer(repo: Repository, project: Path) -> None:
    git(project, "config", "--unset", "user.name")
    git(project, "config", "--unset", "user.email")
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_text("")
    with Repository.open(project) as repository:
        made = repository.commit_files(repo.tip(), {RECORD: b"x"}, "Record")
        repository.create_tag("m@v1.0.0", made, "Register")
    assert git(project, "log", "-1", "--format=%cn", made) == "gitops-ml"


@pytest.mark.parametrize("kind", ["configuration", "environment"])
def test_the_author_of_records_is_chosen_as_git_s_is(
    repo: Repository, project: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    if kind == "configuration":
        git(project, "config", "author.name", "Deploy")
        git(project, "config", "author.email", "deploy@example.org")
    else:
        monkeypatch.setenv("GIT_AUTHOR_NAME", "Deploy")
        monkeypatch.setenv("GIT_AUTHOR_EMAIL", "deploy@example.org")
    with Repository.open(project) as repository:
        made = repository.commit_files(repo.tip(), {RECORD: b"x"}, "Record")
    assert git(project, "log", "-1", "--format=%an %ae %cn", made) == "Deploy deploy@example.org Ada"


@pytest.mark.parametrize("message", ["Record\n\nbody: text\nmore", "Record\n\nGitops-ML-Attempt: a1\n", "Record: it"])
def test_records_are_signed_off_where_git_is_told_so(repo: Repository, project: Path, message: str) -> None:
    git(project, "config", "format.signOff", "true")
    with Repository.open(project) as repository:
        made = repository.commit_files(repo.tip(), {RECORD: b"x"}, message)
    trailers = git(project, "log", "-1", "--format=%(trailers)", made).splitlines()
    assert trailers == [
        *(["Gitops-ML-Attempt: a1"] if "Attempt" in message else []),
        "Signed-off-by: Ada <ada@example.org>",
    ]
    assert git(project, "log", "-1", "--format=%s", made) == message.partition("\n")[0]


def test_whoever_pushed_first_wins_and_the_second_is_told(repo: Repository, project: Path, other: Clone) -> None:
    tip = repo.tip()
    made = repo.commit_files(tip, {RECORD: b"x"}, "Record")
    bob = other("bob")
    theirs = commit_file(bob, "x.txt", "theirs")
    git(bob, "push", "-q")
    assert repo.publish(made, tip) == "raced"
    assert git(project.parent / "origin.git", "rev-parse", "main") == theirs
    new = repo.fetch()
    assert repo.publish(repo.commit_files(new, {RECORD: b"x"}, "Record"), new) == "pushed"


def test_a_race_inside_the_push_itself_is_a_race(repo: Repository, project: Path, other: Clone) -> None:
    # The rival's commit lands after our push was let in and before the ref is written.
    bob = other("bob")
    theirs = commit_file(bob, "x.txt", "theirs")
    git(bob, "push", "-q", "origin", "HEAD:refs/heads/rival")
    bare = project.parent / "origin.git"
    hook(bare, "pre-receive", f"unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main {theirs}")
    tip = repo.tip()
    assert repo.publish(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip) == "raced"
    assert git(bare, "rev-parse", "main") == theirs


def test_a_remote_that_refuses_is_rejected_in_its_own_words(repo: Repository, project: Path) -> None:
    hook(project.parent / "origin.git", "pre-receive", "echo 'main is protected' >&2; exit 1")
    tip = repo.tip()
    with pytest.raises(PushRejected, match="main is protected") as caught:
        repo.publish(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip)
    assert caught.value.exit_code == 5
    assert repo.fetch() == tip


def test_a_remote_that_says_yes_and_does_no_is_not_believed(repo: Repository, project: Path) -> None:
    bare, tip = project.parent / "origin.git", repo.tip()
    hook(bare, "post-receive", f"git update-ref refs/heads/main {tip}")
    with pytest.raises(PushRejected, match="did not take"):
        repo.publish(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip)


def test_a_remote_that_is_gone_is_rejected_too(repo: Repository, project: Path) -> None:
    tip = repo.tip()
    (project.parent / "origin.git").rename(project.parent / "moved.git")
    with pytest.raises(PushRejected, match="does not answer"):
        repo.publish(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip)


def test_a_push_that_someone_built_upon_at_once_is_pushed(repo: Repository, project: Path) -> None:
    bare = project.parent / "origin.git"
    hook(
        bare,
        "post-receive",
        "while read old new ref; do tree=$(git rev-parse $new^{tree});"
        " git update-ref $ref $(git -c user.name=b -c user.email=b@c commit-tree -p $new -m more $tree); done",
    )
    tip = repo.tip()
    made = repo.commit_files(tip, {RECORD: b"x"}, "Record")
    assert repo.publish(made, tip) == "pushed"
    assert repo.is_ancestor(made, repo.fetch())


def test_history_is_never_dropped(repo: Repository) -> None:
    beside = repo.commit_files(repo.resolve(f"{repo.tip()}~1"), {RECORD: b"x"}, "Record")
    with pytest.raises(SourceError, match="does not descend"):
        repo.publish(beside, repo.tip())


def test_a_branch_of_records_is_begun_and_then_continued(repo: Repository) -> None:
    assert repo.find_tip("records") is None
    first = repo.commit_files(repo.tip(), {RECORD: b"1"}, "Record")
    assert repo.publish(first, None, "records") == "pushed"
    assert repo.publish(repo.commit_files(repo.tip(), {RECORD: b"2"}, "Record"), None, "records") == "raced"
    second = repo.commit_files(first, {RECORD: b"2"}, "Record")
    assert repo.publish(second, first, "records") == "pushed"
    assert repo.tip("records") == second


def test_without_a_remote_the_checked_out_files_move_along(lone: Path) -> None:
    (lone / "a.txt").write_text("edited\n")
    (lone / "staged.txt").write_text("staged\n")
    git(lone, "add", "staged.txt")
    before = git(lone, "status", "--porcelain")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        made = repository.commit_files(tip, {RECORD: b"verdict\n", DECLARATION: b"reverted\n"}, "Record")
        assert repository.publish(made, tip) == "pushed"
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
            repository.publish(made, tip)
        assert "git" in caught.value.fix and "commit" in caught.value.fix
    assert state(lone) == before
    assert not (lone / RECORD).exists()


def test_an_untracked_file_in_the_way_stops_it(lone: Path) -> None:
    (lone / RECORD).parent.mkdir()
    (lone / RECORD).write_text("mine\n")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        with pytest.raises(PushRejected):
            repository.publish(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip)
    assert (lone / RECORD).read_text() == "mine\n"
    assert git(lone, "rev-parse", "HEAD") == tip


def test_a_commit_that_came_first_without_a_remote_is_a_race(lone: Path) -> None:
    with Repository.open(lone) as repository:
        tip = repository.tip()
        made = repository.commit_files(tip, {RECORD: b"x"}, "Record")
        mine = commit_file(lone, "a.txt", "two\n")
        assert repository.publish(made, tip) == "raced"
        assert repository.tip() == mine
    assert git(lone, "status", "--porcelain") == ""


def test_a_branch_that_is_not_checked_out_moves_alone(lone: Path) -> None:
    git(lone, "branch", "records")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        assert repository.publish(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip, "records") == "pushed"
    assert git(lone, "rev-parse", "HEAD") == tip
    assert not (lone / RECORD).exists()


def test_a_branch_in_another_work_tree_moves_there(lone: Path, tmp_path: Path) -> None:
    git(lone, "worktree", "add", "-q", str(tmp_path / "second"), "-b", "release")
    with Repository.open(lone) as repository:
        tip = repository.tip("release")
        made = repository.commit_files(tip, {RECORD: b"x"}, "Record")
        assert repository.publish(made, tip, "release") == "pushed"
    assert (tmp_path / "second" / RECORD).read_text() == "x"
    assert not (lone / RECORD).exists()


def test_hooks_and_locks_of_the_user_do_not_stand_in_the_way(lone: Path) -> None:
    for name in ("pre-commit", "commit-msg", "reference-transaction", "post-checkout"):
        hook(lone / ".git", name, "exit 1")
    with Repository.open(lone) as repository:
        tip = repository.tip()
        assert repository.publish(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip) == "pushed"


def test_a_locked_index_leaves_everything_as_it_was(lone: Path) -> None:
    (lone / ".git" / "index.lock").touch()
    with Repository.open(lone) as repository:
        tip = repository.tip()
        with pytest.raises(PushRejected):
            repository.publish(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip)
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
            repository.publish(made, tip)
        assert (lone / RECORD).exists() and git(lone, "rev-parse", "HEAD") == tip
        again = repository.commit_files(tip, {RECORD: b"y"}, "Record anew")
        if edited:
            # What was left behind and then edited is the user's now.
            (lone / RECORD).write_text("mine")
            with pytest.raises(PushRejected, match="uncommitted edits"):
                repository.publish(again, tip)
            assert (lone / RECORD).read_text() == "mine"
            return
        assert repository.publish(again, tip) == "pushed"
    assert (lone / RECORD).read_text() == "y"
    assert git(lone, "status", "--porcelain") == before[0]


def _die(_: object) -> None:
    raise KeyboardInterrupt


def test_tags_are_pushed_and_read_back(repo: Repository, project: Path) -> None:
    repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    repo.push_tag("flight-delay@v2.0.0")
    bare = project.parent / "origin.git"
    assert git(bare, "cat-file", "-t", "flight-delay@v2.0.0") == "tag"
    assert "flight-delay@v2.0.0" in {t.name for t in repo.tags()}
    with pytest.raises(InputError, match="could not be made"):
        repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    with pytest.raises(InputError, match="no name"):
        repo.create_tag("two..dots", repo.tip(), "Register")


def test_a_tag_that_the_remote_has_otherwise_is_rejected(repo: Repository, other: Clone) -> None:
    bob = other("bob")
    git(bob, "tag", "-a", "-m", "theirs", "flight-delay@v2.0.0", "HEAD~1")
    git(bob, "push", "-q", "origin", "flight-delay@v2.0.0")
    repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    with pytest.raises(PushRejected, match="another tag"):
        repo.push_tag("flight-delay@v2.0.0")


def _key(place: Path, name: str) -> Path:
    key = place / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(key)], check=True)
    return key


def test_signatures_are_judged_by_the_repository_s_own_list(lone: Path, tmp_path: Path) -> None:
    ada, eve = _key(tmp_path, "ada"), _key(tmp_path, "eve")
    allowed = f"ada@example.org {ada.with_suffix('.pub').read_text()}".encode()
    git(lone, "config", "gpg.format", "ssh")
    git(lone, "config", "commit.gpgsign", "true")
    git(lone, "config", "user.signingkey", str(ada))
    with Repository.open(lone) as repository:
        unsigned = repository.tip()
        with pytest.raises(SourceError, match="not signed with an SSH key"):
            repository.verify_commit_signature(unsigned, allowed)
        # The tool's own commits are signed as the user's are.
        mine = repository.commit_files(unsigned, {RECORD: b"x"}, "Record")
        assert repository.verify_commit_signature(mine, allowed) == "ada@example.org"
    git(lone, "config", "user.signingkey", str(eve))
    git(lone, "config", "gpg.ssh.allowedSignersFile", str(tmp_path / "eves"))
    (tmp_path / "eves").write_text(f"ada@example.org {eve.with_suffix('.pub').read_text()}")
    with Repository.open(lone) as repository:
        theirs = repository.commit_files(unsigned, {RECORD: b"y"}, "Record")
        with pytest.raises(SourceError, match="not signed by anyone"):
            repository.verify_commit_signature(theirs, allowed)
