"""Edits in clones as people have them: sparse, stopped half-way, on branches of their own, with a name mistyped."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.errors import InputError, PushRejected, SourceError
from tests.git.cli_clone import V1, answer, cli, declaration, next_commands, publish, shell, with_model, write
from tests.git.conftest import commit_file, git

PROD = "environments/prod/models/churn.yaml"
HOLD = ("hold", "prod", "churn", "--reason", "fair week", "--until", "2999-12-01T08:00Z")
HELD = "hold:\n  reason: fair week\n  until: 2999-12-01T08:00:00Z\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return with_model(tmp_path)


def at_remote(work: Path, path: str = PROD, branch: str = "main") -> str:
    return git(work.parent / "remote.git", "show", f"{branch}:{path}") + "\n"


def refused(work: Path, *words: str) -> InputError:
    done = cli(work, *words)
    assert isinstance(done.exception, InputError), done.output
    return done.exception


# Clones that leave files out


@pytest.mark.parametrize("kind", ["--sparse", "--no-checkout"])
def test_a_clone_without_the_file_edits_what_head_declares(work: Path, kind: str) -> None:
    git(work.parent, "clone", "-q", kind, str(work.parent / "remote.git"), "partial")
    partial = work.parent / "partial"
    assert not (partial / PROD).exists()
    cli(partial, *HOLD)
    assert (partial / PROD).read_text() == declaration("v1.0.0", V1) + HELD
    (partial / PROD).unlink()
    cli(partial, *HOLD, "--push")
    assert at_remote(work) == declaration("v1.0.0", V1) + HELD
    assert git(partial, "show", "--format=", "--name-only", "HEAD") == PROD
    # The next deployment of the same clone is found as well, and `--create` begins none anew.
    said = answer(partial, "bump", "staging", "churn", "v2.0.0", "--create", "--push")
    assert said["pushed"] and "replicas: 2" in at_remote(work, "environments/staging/models/churn.yaml")


def test_a_new_declaration_in_a_sparse_clone(work: Path) -> None:
    git(work.parent, "clone", "-q", "--sparse", str(work.parent / "remote.git"), "partial")
    said = answer(work.parent / "partial", "bump", "prod", "eu", "v2.0.0", "--create", "--model", "churn", "--push")
    assert said["pushed"] and "model: churn" in at_remote(work, "environments/prod/models/eu.yaml")


@pytest.mark.parametrize("staged", [False, True])
def test_a_file_that_the_user_removed_is_not_brought_back(work: Path, staged: bool) -> None:
    git(work, "rm", "-q", PROD) if staged else (work / PROD).unlink()
    for words in (HOLD, ("bump", "prod", "churn", "v2.0.0", "--create")):
        error = refused(work, *words)
        assert "its removal is not committed" in str(error)
        assert not (work / PROD).exists()
    shell(work, error.fix)
    assert git(work, "status", "--porcelain") == ""


# Edits that were stopped half-way


def test_an_edit_of_the_work_tree_is_pushed_by_the_same_command(work: Path) -> None:
    cli(work, *HOLD)
    assert cli(work, *HOLD).stdout == f"{PROD} says so already, and is not committed\n"
    said = answer(work, *HOLD, "--push")
    assert (said["changed"], said["pushed"]) == (True, True)
    assert at_remote(work) == declaration("v1.0.0", V1) + HELD
    assert answer(work, *HOLD, "--push")["changed"] is False


def test_a_version_is_committed_under_the_name_that_it_has_in_head(work: Path) -> None:
    cli(work, "bump", "prod", "churn", "v2.0.0")
    cli(work, "bump", "prod", "churn", "v2.0.0", "--push")
    assert git(work, "log", "-1", "--format=%s", "origin/main") == "Bump churn in prod from v1.0.0 to v2.0.0"


def test_what_a_hook_refused_is_completed_by_the_same_command(work: Path) -> None:
    hook = work / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'lint first' >&2; exit 1\n")
    hook.chmod(0o755)
    command = (*HOLD, "--branch", "hold-churn", "--push")
    assert "lint first" in str(refused(work, *command))
    hook.unlink()
    assert answer(work, *command)["pushed"] is True
    assert at_remote(work, branch="hold-churn") == declaration("v1.0.0", V1) + HELD


def test_what_the_remote_refused_is_completed_by_the_same_command(work: Path) -> None:
    hook = work.parent / "remote.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'frozen' >&2; exit 1\n")
    hook.chmod(0o755)
    assert isinstance(cli(work, *HOLD, "--push").exception, PushRejected)
    assert cli(work, *HOLD).stdout == f"{PROD} says so already, and is not pushed\n"
    hook.unlink()
    assert answer(work, *HOLD, "--push")["pushed"] is True
    assert at_remote(work) == declaration("v1.0.0", V1) + HELD


def test_what_others_have_built_upon_is_not_pushed_again(work: Path) -> None:
    cli(work, *HOLD, "--push")
    git(work.parent, "clone", "-q", str(work.parent / "remote.git"), "bob")
    commit_file(work.parent / "bob", "x.txt", "theirs")
    git(work.parent / "bob", "push", "-q")
    assert answer(work, *HOLD, "--push")["changed"] is False


# Branches


def test_a_branch_of_its_own_has_an_upstream_after_the_push(work: Path) -> None:
    assert answer(work, *HOLD, "--branch", "hold-churn", "--push")["branch"] == "hold-churn"
    commit_file(work, "x.txt", "more")
    shell(work, "git push -q")
    assert at_remote(work, "x.txt", "hold-churn") == "more\n"


@pytest.mark.parametrize("options", [(), ("--commit",), ("--branch", "hold-churn")])
def test_the_next_commands_work_as_printed(work: Path, options: tuple[str, ...]) -> None:
    done = cli(work, *HOLD, *options)
    commands = next_commands(done)
    branch = "hold-churn" if "--branch" in options else "main"
    last = "open a pull request of hold-churn" if "--branch" in options else "gitops-ml sync prod"
    assert commands.pop() == last
    for command in commands:
        shell(work, command)
    assert at_remote(work, branch=branch) == declaration("v1.0.0", V1) + HELD


def test_the_next_commands_of_a_new_declaration_work_as_printed(work: Path) -> None:
    done = cli(work, "bump", "prod", "eu", "v2.0.0", "--create", "--model", "churn")
    for command in next_commands(done)[:-1]:
        shell(work, command)
    assert "model: churn" in at_remote(work, "environments/prod/models/eu.yaml")


def test_a_branch_that_exists_is_named_with_the_way_on(work: Path) -> None:
    git(work, "branch", "hold-churn")
    error = refused(work, *HOLD, "--branch", "hold-churn")
    assert "the branch hold-churn exists already" in str(error)
    assert git(work, "status", "--porcelain") == ""
    shell(work, error.fix.partition(", then")[0])
    assert answer(work, *HOLD, "--commit")["branch"] == "hold-churn"


@pytest.mark.parametrize("option", ["--commit", "--push"])
def test_a_detached_head_gets_no_commit(work: Path, option: str) -> None:
    git(work, "checkout", "-q", "--detach")
    assert "no branch is checked out" in str(refused(work, *HOLD, option))
    assert git(work, "status", "--porcelain") == ""
    assert answer(work, *HOLD, option, "--branch", "hold-churn")["branch"] == "hold-churn"


def test_without_a_remote_a_push_is_refused_before_the_commit(work: Path) -> None:
    git(work, "remote", "remove", "origin")
    assert "no remote to push to" in str(refused(work, *HOLD, "--push"))
    assert git(work, "status", "--porcelain") == ""


# Environments that are none


def test_a_mistyped_environment_is_refused_with_the_nearest(work: Path) -> None:
    for words in (("bump", "prdo", "churn", "v2.0.0", "--create"), ("hold", "prdo", "churn", "--reason", "x")):
        error = refused(work, *words)
        assert "there is no environment `prdo`" in str(error)
        assert error.fix == "did you mean `prod`?"
    assert git(work, "status", "--porcelain") == ""


def test_declarations_without_an_environment_are_an_error_in_every_command(work: Path) -> None:
    write(work, "environments/prdo/models/churn.yaml", declaration("v1.0.0", V1))
    publish(work, "Mistype it")
    said = "environments/prdo declares churn without an environment"
    for command in ("status", "plan", "doctor"):
        done = cli(work, command)
        assert done.exit_code == 1
        assert said in done.output
        assert "did you mean `prod`?" in done.output
    done = cli(work, "sync", "prdo")
    assert done.exit_code == 1 and said in done.output


def test_an_unpushed_hold_of_an_old_clone_needs_no_remote(work: Path) -> None:
    (work.parent / "remote.git").rename(work.parent / "gone.git")
    assert answer(work, *HOLD, "--commit")["commit"]
    assert isinstance(cli(work, *HOLD, "--push").exception, PushRejected | SourceError)
