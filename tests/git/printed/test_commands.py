"""What is printed as a fix is run as printed, in the situation that prints it, and mends it."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.git.cli_clone import (
    V1,
    answer,
    attempt,
    cli,
    declaration,
    finding,
    fix_of,
    generation,
    publish,
    put_record,
    shell,
    write,
)
from tests.git.conftest import commit_file, git


def test_a_folder_without_git(tmp_path: Path) -> None:
    first, _, choice = fix_of(tmp_path, "lint").partition(", ")
    assert choice == "or go to a clone"
    shell(tmp_path, first)
    assert "is no Git repository" not in str(cli(tmp_path, "lint").exception)


def test_a_clone_without_dvc(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    command, _, place = fix_of(tmp_path, "init", "--name", "churn").partition(", ")
    assert (command, place) == (finding(tmp_path, "dvc")["fix"], "in that folder")
    shell(tmp_path, command)
    assert finding(tmp_path, "dvc")["state"] == "ok"
    assert cli(tmp_path, "init", "--name", "churn").exit_code == 0


def test_an_engine_that_does_not_answer(work: Path) -> None:
    _, _, look = cli(work, "verify", "prod").output.partition("; `")
    done = subprocess.run(look.split("`")[0], shell=True, cwd=work, capture_output=True, text=True, check=False)
    assert "missing  engine prod, staging" in done.stdout


def test_a_project_without_environments(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    write(tmp_path, ".dvc/config", "")
    shell(tmp_path, fix_of(tmp_path, "lint"))
    assert cli(tmp_path, "lint").exit_code == 0


def test_a_declaration_that_does_not_exist(work: Path) -> None:
    shell(work, fix_of(work, "hold", "prod", "eu", "--reason", "fair").replace("--create", "--create --model churn"))
    assert cli(work, "hold", "prod", "eu", "--reason", "fair").exit_code == 0


def test_a_model_without_versions(work: Path) -> None:
    git(work, "tag", "-d", "churn@v2.0.0")
    git(work, "push", "-q", "origin", ":churn@v2.0.0")
    git(work, "fetch", "-q", "--prune", "--prune-tags", "origin")
    shell(work, fix_of(work, "versions", "churn"))
    assert answer(work, "versions", "churn")["versions"]


def test_a_version_that_exists_already(work: Path) -> None:
    commit_file(work, "model.json", "{1}\n")
    shell(work, fix_of(work, "register", "churn", "--version", "v2.0.0"))
    assert [row["version"] for row in answer(work, "versions")["versions"]] == ["v2.0.1", "v2.0.0"]


def test_a_lightweight_tag(work: Path) -> None:
    commit_file(work, "model.json", "{1}\n")
    git(work, "tag", "churn@v3.0.0")
    git(work, "push", "-q", "origin", "main", "churn@v3.0.0")
    answer(work, "versions", "--fetch")
    shell(work, fix_of(work, "bump", "prod", "churn", "v3.0.0").partition(", which ")[0])
    assert answer(work, "bump", "prod", "churn")["version"] == "v2.0.1"


def test_a_version_that_nobody_has(work: Path) -> None:
    look, _, push = fix_of(work, "bump", "prod", "churn", "v9.0.0").partition("; push a tag with ")
    assert "v2.0.0" in shell(work, look)
    shell(work, push)


def test_a_file_with_the_other_suffix(work: Path) -> None:
    file = work / "environments/prod/models/churn.yaml"
    file.rename(file.with_suffix(".yml"))
    git(work, "add", "-A")
    shell(work, fixes(work)[0])
    assert cli(work, "lint").exit_code == 0


def test_a_folder_without_environment_yaml(work: Path) -> None:
    write(work, "environments/canary/models/churn.yaml", declaration("v2.0.0", V1))
    publish(work, "Declare it nowhere")
    remove = fixes(work)[0].split("or remove the folder: ")[1]
    shell(work, remove)
    assert cli(work, "lint").exit_code == 0


def test_a_mistyped_environment(work: Path) -> None:
    write(work, "environments/prd/models/churn.yaml", declaration("v2.0.0", V1))
    publish(work, "Declare it nowhere")
    remove, _, nearest = fixes(work)[0].split("or remove the folder: ")[1].partition("; ")
    assert nearest == "did you mean `prod`?"
    shell(work, remove)
    assert cli(work, "lint").exit_code == 0


def fixes(work: Path) -> list[str]:
    """The fixes that `lint` prints."""
    return [error["fix"] for error in json.loads(cli(work, "lint", "-o", "json").stdout)["errors"]]


def test_a_remote_that_was_away(work: Path, tmp_path: Path) -> None:
    (tmp_path / "remote.git").rename(tmp_path / "gone.git")
    fix = fix_of(work, "history", "prod")
    refused = subprocess.run(fix, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert refused.returncode != 0 and "does not appear to be a git repository" in refused.stderr
    (tmp_path / "gone.git").rename(tmp_path / "remote.git")
    shell(tmp_path, fix)
    assert cli(work, "history", "prod").exit_code == 0


def test_a_remote_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--bare", "-b", "main", "remote.git")
    git(tmp_path, "clone", "-q", "remote.git", "clone")
    work = tmp_path / "clone"
    commit_file(work, "environments/project.yaml", "schema: 1\nname: churn\n")
    shell(work, fix_of(work, "history", "dev"))
    assert git(work, "ls-remote", "origin", "main") != ""


def test_a_rollback_to_what_was_never_verified(work: Path) -> None:
    serving = generation("v1.0.0", V1, git(work, "rev-parse", "HEAD"))
    put_record(work, "prod", serving, attempt(serving, age=timedelta(hours=1), verdict="Failed", outcome="failed"))
    look, _, other = fix_of(work, "rollback", "prod", "churn", "--to", "v2.0.0").partition("; or ")
    assert "prod/churn" in shell(work, look)
    shell(work, other.replace("<version>", "v2.0.0"))


@pytest.mark.parametrize(
    "command",
    [
        "git -C {work} restore --staged --worktree -- model.json",
        "git -C {work} fsck",
        "git fsck",
        "git ls-remote origin",
        "git ls-remote --tags origin 'churn@v2.0.0*'",
        "git show churn@v2.0.0",
        "git worktree prune",
        "git config user.name",
        "git branch ANOTHER-NAME HEAD",
        "git push origin HEAD:refs/heads/ANOTHER-NAME",
        "git config --global --add safe.directory {work}",
    ],
)
def test_commands_of_git_run_as_printed(work: Path, command: str) -> None:
    """Their situations are broken repositories and remotes; the commands themselves run in any."""
    shell(work, command.format(work=work))
