"""`--pr`: an edit as a branch of its own and a pull request, whatever is checked out or edited here."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gitops_ml.cli.training.retrain import propose_branch
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import ForgeRefused, InputError, PushRejected
from gitops_ml.retraining.bump_branch import Retrained
from tests.git.cli_clone import V2, answer, attempt, cli, clone, generation, publish, put_record, with_model, write
from tests.git.cli_forge import address, served_forge
from tests.git.conftest import git
from tests.unit.clients.forge.server import Fault, LocalForge

PROD = "environments/prod/models/churn.yaml"


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalForge]:
    with served_forge(monkeypatch, {}) as local:
        yield local


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A clone with a model, in which somebody is in the middle of something else."""
    work = with_model(tmp_path)
    address(work)
    git(work, "switch", "-q", "-c", "mine")
    write(work, PROD, "half-written\n")
    write(work, "notes.txt", "mine\n")
    git(work, "add", "notes.txt")
    return work


def remote(work: Path, *arguments: str) -> str:
    return git(work.parent / "remote.git", *arguments)


def state(work: Path) -> tuple[str, str, str]:
    """What belongs to the user: the branch, its commit, and what differs from it."""
    return git(work, "branch", "--show-current"), git(work, "rev-parse", "HEAD"), git(work, "status", "--porcelain")


def test_a_bump_is_one_commit_of_one_file_and_a_pull_request_that_says_what_it_does(
    work: Path, forge: LocalForge
) -> None:
    before = state(work)
    done = cli(work, "bump", "prod", "churn", "v2.0.0", "--pr")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == f"pull request {forge.url}/pulls/1"
    assert forge.pulls == {"bump/prod-churn": 1}
    text = forge.texts[1]
    assert text["title"] == "Bump churn in prod from v1.0.0 to v2.0.0"
    assert "**`prod`**: all users of `churn` move from `v1.0.0` to `v2.0.0` at once" in text["body"]
    assert remote(work, "diff", "--name-only", "main", "bump/prod-churn") == PROD
    assert remote(work, "rev-list", "--count", "main..bump/prod-churn") == "1"
    assert remote(work, "log", "-1", "--format=%an", "bump/prod-churn") == "Ada"
    assert state(work) == before


def test_the_same_command_again_changes_nothing_and_a_moved_tip_moves_the_branch(work: Path, forge: LocalForge) -> None:
    first = answer(work, "bump", "prod", "churn", "v2.0.0", "--pr")
    again = answer(work, "bump", "prod", "churn", "v2.0.0", "--pr")
    assert again["bump_commit"] == first["bump_commit"]
    assert again["pull_request"] == first["pull_request"] == f"{forge.url}/pulls/1"
    other = work.parent / "other"
    git(work.parent, "clone", "-q", str(work.parent / "remote.git"), str(other))
    write(other, "README.md", "news\n")
    tip = publish(other, "Write news")
    moved = answer(work, "bump", "prod", "churn", "v2.0.0", "--pr")
    assert remote(work, "rev-parse", f"{moved['bump_commit']}^") == tip
    assert remote(work, "rev-parse", "bump/prod-churn") == moved["bump_commit"]
    assert list(forge.pulls) == ["bump/prod-churn"]


def test_a_branch_with_commits_of_others_is_left_alone(work: Path, forge: LocalForge) -> None:
    answer(work, "bump", "prod", "churn", "v2.0.0", "--pr")
    other = work.parent / "other"
    git(work.parent, "clone", "-q", "-b", "bump/prod-churn", str(work.parent / "remote.git"), str(other))
    write(other, "README.md", "reviewed\n")
    theirs = publish(other, "Add to it")
    for command in (
        ["bump", "prod", "churn", "v2.0.0"],
        ["hold", "prod", "churn", "--reason", "x", "--branch", "main"],
    ):
        done = cli(work, *command, "--pr")
        assert isinstance(done.exception, InputError), done.output
    assert remote(work, "rev-parse", "bump/prod-churn") == theirs


def test_a_branch_that_was_deleted_or_put_back_is_pushed_again(work: Path, forge: LocalForge) -> None:
    first = answer(work, "bump", "prod", "churn", "v2.0.0", "--pr")
    for spoil in (("branch", "-D", "bump/prod-churn"), ("branch", "-f", "bump/prod-churn", "main")):
        git(work.parent / "remote.git", *spoil)
        again = answer(work, "bump", "prod", "churn", "v2.0.0", "--pr")
        assert remote(work, "rev-parse", "bump/prod-churn") == again["bump_commit"]
        assert again["pull_request"] == first["pull_request"]


def test_a_protected_branch_gets_no_pull_request(work: Path, forge: LocalForge) -> None:
    hook = work.parent / "remote.git/hooks/update"
    hook.write_text("#!/bin/sh\necho 'bump/* is protected' >&2\nexit 1\n")
    hook.chmod(0o755)
    done = cli(work, "bump", "prod", "churn", "v2.0.0", "--pr")
    assert isinstance(done.exception, PushRejected) and "is protected" in str(done.exception)
    assert not forge.pulls


def test_hold_release_promote_and_rollback_have_it_too(work: Path, forge: LocalForge) -> None:
    git(work, "switch", "-q", "--discard-changes", "main")
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2)))
    old = generation("v1.0.0", f"md5:{'1' * 32}.dir", git(work, "rev-parse", "HEAD"))
    put_record(work, "prod", old, attempt(old, age=timedelta(hours=2)))
    write(work, PROD, (work / PROD).read_text().replace("v1.0.0", "v9.9.9") + "hold: {reason: fair week}\n")
    publish(work, "Declare another one")
    commands = {
        "hold/prod-churn": ("hold", "prod", "churn", "--reason", "closed"),
        "release/prod-churn": ("release", "prod", "churn"),
        "promote/prod-churn": ("promote", "churn", "--to", "prod"),
        "rollback/prod-churn": ("rollback", "prod", "churn"),
    }
    for branch, command in commands.items():
        said = answer(work, *command, "--pr")
        assert said["branch"] == branch and said["pull_request"] == f"{forge.url}/pulls/{forge.pulls[branch]}"
    assert [text["title"] for text in forge.texts.values()] == [
        "Hold churn in prod",
        "Release churn in prod",
        "Promote churn in prod from v9.9.9 to v2.0.0",
        "Roll churn in prod back from v9.9.9 to v1.0.0",
    ]
    assert git(work, "status", "--porcelain") == ""


def test_without_a_forge_nothing_is_pushed_and_what_was_pushed_is_gone_on_with(
    work: Path, forge: LocalForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    forge.faults = [Fault("POST", 403)]
    assert isinstance(cli(work, "bump", "prod", "churn", "v2.0.0", "--pr").exception, ForgeRefused)
    assert answer(work, "bump", "prod", "churn", "v2.0.0", "--pr")["pull_request"] == f"{forge.url}/pulls/1"
    monkeypatch.delenv("GITOPS_ML_FORGE_TOKEN")
    failed = cli(work, "bump", "staging", "churn", "v2.0.0", "--pr")
    assert "there is no token for Gitea" in str(failed.exception)
    assert "bump/staging-churn" not in remote(work, "branch", "--list")


def test_what_is_declared_so_already_needs_no_pull_request(tmp_path: Path, forge: LocalForge) -> None:
    work = clone(tmp_path)
    address(work)
    done = cli(work, "release", "prod", "churn", "--pr")
    assert done.exit_code == 0 and "says so already" in done.stdout
    assert forge.pulls == {}


def test_a_retrained_models_branch_gets_the_same_text_and_what_the_gate_said(work: Path, forge: LocalForge) -> None:
    bumped = answer(work, "bump", "prod", "churn", "v2.0.0", "--pr", "--branch", "retrain/churn-v2.0.0")
    forge.pulls.clear()
    result = Retrained(
        outcome="registered",
        model="churn",
        reason="churn v2.0.0 passes the gate",
        version="v2.0.0",
        bump_commit=bumped["bump_commit"],
        branch="retrain/churn-v2.0.0",
        pushed=True,
    )
    with Repository.open(work) as repo:
        url = propose_branch(repo, result, "Bump churn to v2.0.0", ["it passes", "@ada says so"])
        assert url == f"{forge.url}/pulls/1"
        text = forge.texts[1]["body"]
        assert "`v1.0.0` → `v2.0.0`" in text and text.endswith("- it passes\n- @&#8203;ada says so")
        forge.faults = [Fault("GET", 401)]
        assert propose_branch(repo, result, "Bump", ["x"]).startswith("open a pull request")
