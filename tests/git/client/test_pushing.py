"""Commits and pushes: compare-and-swap, read back, and without a trace in the work tree."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.git.commits import Author
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import PushRejected, SourceError
from tests.git.client.clones import RECORD, hook, state
from tests.git.conftest import commit_file, git

Clone = Callable[[str], Path]


def test_a_record_is_pushed_without_a_trace_in_the_work_tree(repo: Repository, project: Path) -> None:
    (project / "params.yaml").write_text("depth: 99\n")
    (project / "staged.txt").write_text("staged")
    git(project, "add", "staged.txt")
    before, tip = state(project), repo.tip()
    made = repo.commit_files(tip, {RECORD: b"verdict\n", "params.yaml": None}, "Record dev/m\n")
    assert state(project) == before
    assert repo.advance(made, tip) == "pushed"
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
    assert repo.advance(made, tip) == "raced"
    assert git(project.parent / "origin.git", "rev-parse", "main") == theirs
    new = repo.fetch()
    assert repo.advance(repo.commit_files(new, {RECORD: b"x"}, "Record"), new) == "pushed"


def test_a_race_inside_the_push_itself_is_a_race(repo: Repository, project: Path, other: Clone) -> None:
    # The rival's commit lands after our push was let in and before the ref is written.
    bob = other("bob")
    theirs = commit_file(bob, "x.txt", "theirs")
    git(bob, "push", "-q", "origin", "HEAD:refs/heads/rival")
    bare = project.parent / "origin.git"
    hook(bare, "pre-receive", f"unset GIT_QUARANTINE_PATH; git update-ref refs/heads/main {theirs}")
    tip = repo.tip()
    assert repo.advance(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip) == "raced"
    assert git(bare, "rev-parse", "main") == theirs


def test_a_remote_that_refuses_is_rejected_in_its_own_words(repo: Repository, project: Path) -> None:
    hook(project.parent / "origin.git", "pre-receive", "echo 'main is protected' >&2; exit 1")
    tip = repo.tip()
    with pytest.raises(PushRejected, match="main is protected") as caught:
        repo.advance(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip)
    assert caught.value.exit_code == 5
    assert repo.fetch() == tip


def test_a_remote_that_says_yes_and_does_no_is_not_believed(repo: Repository, project: Path) -> None:
    bare, tip = project.parent / "origin.git", repo.tip()
    hook(bare, "post-receive", f"git update-ref refs/heads/main {tip}")
    with pytest.raises(PushRejected, match="did not take"):
        repo.advance(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip)


def test_a_remote_that_is_gone_is_rejected_too(repo: Repository, project: Path) -> None:
    tip = repo.tip()
    (project.parent / "origin.git").rename(project.parent / "moved.git")
    with pytest.raises(PushRejected, match="does not answer"):
        repo.advance(repo.commit_files(tip, {RECORD: b"x"}, "Record"), tip)


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
    assert repo.advance(made, tip) == "pushed"
    assert repo.is_ancestor(made, repo.fetch())


def test_history_is_never_dropped(repo: Repository) -> None:
    beside = repo.commit_files(repo.resolve(f"{repo.tip()}~1"), {RECORD: b"x"}, "Record")
    with pytest.raises(SourceError, match="does not descend"):
        repo.advance(beside, repo.tip())


def test_a_branch_of_records_is_begun_and_then_continued(repo: Repository) -> None:
    assert repo.find_tip("records") is None
    first = repo.commit_files(repo.tip(), {RECORD: b"1"}, "Record")
    assert repo.advance(first, None, "records") == "pushed"
    assert repo.advance(repo.commit_files(repo.tip(), {RECORD: b"2"}, "Record"), None, "records") == "raced"
    second = repo.commit_files(first, {RECORD: b"2"}, "Record")
    assert repo.advance(second, first, "records") == "pushed"
    assert repo.tip("records") == second
