"""From `init` to `promote`: every command that is printed as the next one, or as a fix, works as printed."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from gitops_ml.errors import InputError, PushRejected
from tests.git.cli_clone import (
    V2,
    answer,
    attempt,
    cli,
    declaration,
    generation,
    next_commands,
    publish,
    put_record,
    shell,
    write,
)
from tests.git.conftest import commit_file, git


def findings(work: Path) -> dict[str, dict[str, str]]:
    return {f["what"]: f for f in json.loads(cli(work, "doctor", "--json").stdout)["findings"]}


def stop_pushes(work: Path) -> Path:
    hook = work.parent / "remote.git/hooks/pre-receive"
    hook.write_text("#!/bin/sh\necho 'frozen' >&2; exit 1\n")
    hook.chmod(0o755)
    return hook


# init and doctor


@pytest.fixture
def bare_project(tmp_path: Path) -> Path:
    """A clone of an empty remote, with DVC and no environments."""
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", "remote.git", "shop")
    work = tmp_path / "shop"
    write(work, ".dvc/config", "")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Begin")
    return work


def test_what_init_prints_works_in_a_clone_that_was_never_pushed(bare_project: Path) -> None:
    first, last = next_commands(cli(bare_project, "init"))
    assert last == "gitops-ml doctor"
    shell(bare_project, first)
    assert findings(bare_project)["project"]["state"] == "ok"


def test_doctor_between_init_and_the_push_names_what_is_left(bare_project: Path) -> None:
    git(bare_project, "push", "-q", "-u", "origin", "main")
    assert findings(bare_project)["project"]["fix"] == "gitops-ml init"
    cli(bare_project, "init")
    commit = "git add environments && git commit -m 'Declare environments'"
    assert findings(bare_project)["project"]["fix"] == f"{commit} && git push"
    shell(bare_project, commit)
    assert findings(bare_project)["project"]["fix"] == "git push"
    git(bare_project, "switch", "-q", "-c", "adopt", "--no-track")
    fix = findings(bare_project)["project"]["fix"]
    assert fix == "git push -u origin adopt, then merge adopt into main"
    git(bare_project, "switch", "-q", "main")
    shell(bare_project, "git push")
    assert findings(bare_project)["project"]["state"] == "ok"


# register


def test_what_register_prints_works_as_printed(work: Path) -> None:
    commit_file(work, "model.json", "{1}\n")
    push, bump = next_commands(cli(work, "register", "churn"))
    shell(work, push)
    # Staging is tried first here: nothing is promoted to it, and it declares the model.
    assert bump == "gitops-ml bump staging churn v2.0.1"
    shell(work, bump)
    assert "version: v2.0.1" in (work / "environments/staging/models/churn.yaml").read_text()


def test_a_model_that_nothing_declares_is_declared_as_printed(work: Path) -> None:
    write(work, "dvc.yaml", "artifacts:\n  Fraud_Model: {path: model.json, type: model}\n")
    publish(work, "Rename it")
    *_, bump = next_commands(cli(work, "register", "Fraud_Model"))
    assert bump == "gitops-ml bump staging fraud-model v0.0.1 --create --model Fraud_Model"


def test_the_command_that_creates_a_declaration_keeps_the_options(work: Path) -> None:
    done = cli(work, "bump", "prod", "eu", "v2.0.0", "--model", "churn", "--push")
    assert isinstance(done.exception, InputError)
    assert done.exception.fix == "gitops-ml bump prod eu v2.0.0 --create --model churn --push"
    shell(work, done.exception.fix)
    assert "model: churn" in git(work.parent / "remote.git", "show", "main:environments/prod/models/eu.yaml")


def test_the_model_of_a_declaration_is_not_changed_by_an_option(work: Path) -> None:
    done = cli(work, "bump", "prod", "churn", "v2.0.0", "--model", "fraud")
    assert "declares the model churn" in str(done.exception)


def test_bytes_that_an_earlier_version_has_are_named(work: Path) -> None:
    commit_file(work, "notes.txt", "no new model")
    done = cli(work, "register", "churn")
    assert "warning: v2.0.0 holds the same bytes" in done.stderr
    commit_file(work, "model.json", "{1}\n")
    assert "same bytes" not in cli(work, "register", "churn").stderr


@pytest.mark.parametrize("first", [(), ("--push",)])
def test_a_tag_that_was_not_pushed_is_pushed_by_the_same_command(work: Path, first: tuple[str, ...]) -> None:
    commit_file(work, "model.json", "{1}\n")
    git(work, "push", "-q")
    hook = stop_pushes(work)
    done = cli(work, "register", "churn", *first)
    assert not first or isinstance(done.exception, PushRejected)
    again = cli(work, "register", "churn")
    assert "git push origin churn@v2.0.1" in str(again.exception)
    hook.unlink()
    said = answer(work, "register", "churn", "--push")
    assert (said["tag"], said["pushed"]) == ("churn@v2.0.1", True)
    assert git(work, "ls-remote", "origin", "churn@v2.0.1") != ""
    # Once it is there, its commit is not registered twice.
    assert isinstance(cli(work, "register", "churn", "--push").exception, InputError)


# promote


def test_a_first_promotion_that_is_refused_names_the_whole_command(work: Path) -> None:
    git(work, "rm", "-q", "environments/prod/models/churn.yaml")
    publish(work, "Take it out of prod")
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2)))
    done = cli(work, "promote", "churn", "--to", "prod", "--push")
    assert isinstance(done.exception, InputError)
    assert done.exception.fix == "gitops-ml promote churn --to prod --create --push"
    shell(work, done.exception.fix)
    promoted = git(work.parent / "remote.git", "show", "main:environments/prod/models/churn.yaml")
    assert f"{promoted}\n" == declaration("v2.0.0", V2)
