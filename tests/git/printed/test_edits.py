"""What commands on declarations, versions and branches print as a fix is run as printed, and mends what was wrong.

`<name>`, ENV and the like are what the user has to fill in; a test fills them in, and changes nothing else.
"""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from tests.git.cli_clone import (
    V2,
    answer,
    attempt,
    cli,
    finding,
    fix_of,
    generation,
    publish,
    put_record,
    shell,
    write,
)
from tests.git.cli_forge import address, served_forge
from tests.git.conftest import commit_file, git
from tests.unit.clients.forge.server import Fault


def colleague(work: Path) -> Path:
    """Another clone, whose commit reaches the remote first."""
    theirs = work.parent / "theirs"
    git(work.parent, "clone", "-q", "remote.git", str(theirs))
    commit_file(theirs, "notes.txt", "theirs\n")
    git(theirs, "push", "-q")
    return theirs


def declared(work: Path, environment: str, place: str = "HEAD") -> str:
    return git(work, "show", f"{place}:environments/{environment}/models/churn.yaml")


# --- init and doctor


def test_a_folder_whose_name_is_no_projects_name(tmp_path: Path) -> None:
    work = tmp_path / "___"
    work.mkdir()
    git(work, "init", "-q")
    write(work, ".dvc/config", "")
    shell(work, fix_of(work, "init").replace("<name>", "churn"))
    assert "name: churn\n" in (work / "environments/project.yaml").read_text()


def test_a_second_init(work: Path) -> None:
    write(work, ".dvc/config", "")
    look, _, choice = fix_of(work, "init", "--name", "churn").partition(", which says what is missing; ")
    assert choice == "or edit that file"
    done = subprocess.run(look, shell=True, cwd=work, capture_output=True, text=True, check=False)
    assert "missing  engine prod, staging" in done.stdout and done.stderr == ""


def test_an_author_is_needed(work: Path) -> None:
    Path(os.environ["GIT_CONFIG_GLOBAL"]).write_text("[init]\n\tdefaultBranch = main\n")
    command, _, other = finding(work, "identity")["fix"].partition(" … ")
    assert other == "(and user.email)"
    shell(work, f"{command} Ada")
    shell(work, f"{command.replace('user.name', 'user.email')} ada@example.org")
    assert finding(work, "identity")["said"] == "Ada <ada@example.org>"


def test_a_dvc_remote_is_needed(work: Path) -> None:
    shell(work, "dvc init -q")
    publish(work, "Begin with DVC")
    fix = finding(work, "dvc remote")["fix"]
    shell(work, fix.replace("<name>", "storage").replace("<url>", "../storage"))
    publish(work, "Declare a DVC remote")
    assert finding(work, "dvc remote")["said"].startswith("storage (default): ")


# --- versions


def test_a_declaration_of_latest(work: Path) -> None:
    write(work, "environments/staging/models/churn.yaml", "schema: 1\nmodel: churn\nversion: latest\n")
    publish(work, "Follow the newest")
    fix = finding(work, "staging/churn")["fix"].partition(", which ")[0]
    shell(work, fix.replace("ENV DEPLOYMENT", "staging churn"))
    assert "version: v2.0.0\n" in (work / "environments/staging/models/churn.yaml").read_text()


def test_a_version_that_holds_something_else_now(work: Path) -> None:
    choice, _, command = finding(work, "staging/churn")["fix"].partition(", or take the new content: ")
    assert choice == "put the tag back"
    shell(work, command.replace("ENV DEPLOYMENT", "staging churn"))
    publish(work, "Take it")
    assert V2 not in declared(work, "staging")
    assert "no longer holds" not in finding(work, "staging/churn")["said"]


def test_a_tag_on_a_commit_without_the_model(work: Path) -> None:
    git(work, "tag", "-a", "-m", "too early", "churn@v0.1.0", "HEAD~1")
    commit_file(work, "model.json", "{1}\n")
    git(work, "push", "-q", "origin", "main", "churn@v0.1.0")
    answer(work, "versions", "--fetch")
    command = fix_of(work, "bump", "prod", "churn", "v0.1.0").removeprefix("register a commit that has it: ")
    shell(work, command.replace("COMMIT", "HEAD"))
    assert answer(work, "bump", "prod", "churn")["version"] == "v2.0.1"


def test_a_version_that_was_taken_back(work: Path) -> None:
    git(work, "tag", "-a", "-m", "broken", "churn@v2.0.0!")
    commit_file(work, "model.json", "{1}\n")
    git(work, "push", "-q", "origin", "main", "churn@v2.0.0!")
    answer(work, "versions", "--fetch")
    shell(work, fix_of(work, "bump", "prod", "churn", "v2.0.0").removeprefix("register a new version of it: "))
    assert answer(work, "bump", "prod", "churn")["version"] != "v2.0.0"


def test_a_commit_that_went_another_way_than_the_remote(work: Path) -> None:
    colleague(work)
    commit_file(work, "model.json", "{1}\n")
    pull, push, again = fix_of(work, "register", "churn", "--push").split(", ")
    assert again == "then register again"
    shell(work, pull)
    shell(work, push)
    assert answer(work, "register", "churn", "--push")["pushed"]


def test_a_revision_that_nobody_has(work: Path) -> None:
    colleague(work)
    fetch, _, look = fix_of(work, "register", "churn", "--rev", "release").partition(", or ")
    shell(work, fetch)
    assert "commit " in shell(work, look)
    assert answer(work, "register", "churn", "--rev", "origin/main")["tag"] == "churn@v2.0.1"


# --- promotion


def test_a_promotion_into_what_nothing_is_promoted_into(work: Path) -> None:
    choice, _, command = fix_of(work, "promote", "churn", "--to", "staging").partition(", or ")
    assert choice == "add `promotion: {from: <environment>}` to it"
    shell(work, command)
    assert V2 not in (work / "environments/staging/models/churn.yaml").read_text()


def test_a_promotion_of_what_is_not_verified(work: Path) -> None:
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2), verdict="Failed", outcome="failed"))
    look, _, other = fix_of(work, "promote", "churn", "--to", "prod").partition("; or ")
    assert "Failed" in shell(work, look)
    shell(work, other)
    assert "version: v2.0.0 " in (work / "environments/prod/models/churn.yaml").read_text()


def test_a_promotion_before_its_soak_is_over(work: Path) -> None:
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=timedelta(minutes=5)))
    wait, _, other = fix_of(work, "promote", "churn", "--to", "prod").partition("; or ")
    assert wait == "promote it then"
    shell(work, other)
    assert "version: v2.0.0 " in (work / "environments/prod/models/churn.yaml").read_text()


# --- branches and remotes


def test_a_push_without_a_remote(work: Path) -> None:
    git(work, "remote", "remove", "origin")
    hold = ("hold", "prod", "churn", "--reason", "fair", "--push")
    shell(work, fix_of(work, *hold).replace("<url>", "../remote.git"))
    assert answer(work, *hold)["pushed"]


def test_a_remote_that_does_not_say_its_main_branch(work: Path) -> None:
    git(work.parent / "remote.git", "symbolic-ref", "HEAD", "refs/heads/none")
    git(work, "switch", "-q", "-c", "adopt", "--no-track")
    first, _, command = fix_of(work, "history", "prod").partition("; else: ")
    assert first == "where nothing was pushed yet: git push -u origin adopt"
    shell(work, command.replace("<branch>", "main"))
    assert cli(work, "history", "prod").exit_code == 0


def test_several_remotes(work: Path) -> None:
    git(work, "remote", "rename", "origin", "ours")
    git(work, "remote", "add", "theirs", "../remote.git")
    git(work, "branch", "-q", "--unset-upstream")
    shell(work, fix_of(work, "history", "prod").replace("<branch>", "main"))
    assert cli(work, "history", "prod").exit_code == 0


def test_no_branch_without_a_remote(work: Path) -> None:
    git(work, "remote", "remove", "origin")
    git(work, "switch", "-q", "--detach")
    command, _, choice = fix_of(work, "history", "prod").partition(", or ")
    assert choice == "add a remote"
    shell(work, command.replace("<branch>", "main"))
    assert cli(work, "history", "prod").exit_code == 0


def test_a_branch_that_exists_already(work: Path) -> None:
    git(work, "branch", "fair")
    hold = ("hold", "prod", "churn", "--reason", "fair")
    switch, _, again = fix_of(work, *hold, "--branch", "fair").partition(", then ")
    assert again == "the same command with --commit; or another name"
    shell(work, switch)
    assert answer(work, *hold, "--commit")["branch"] == "fair"


def test_a_push_that_comes_second(work: Path) -> None:
    colleague(work)
    fix = fix_of(work, "hold", "prod", "churn", "--reason", "fair", "--push")
    command, _, choice = fix.partition("; or ")
    assert choice == "--branch <name> and a pull request"
    shell(work, command)
    git(work, "fetch", "-q")
    assert "fair" in declared(work, "prod", "origin/main")


def test_a_clone_without_a_commit(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "-b", "main")
    command = fix_of(tmp_path, "history", "dev")
    shell(tmp_path, f"{command} -q --allow-empty -m Begin")
    assert "has no commit" not in str(cli(tmp_path, "history", "dev").exception)


def test_a_pull_request_that_edits_records(work: Path) -> None:
    serving = generation("v2.0.0", V2, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2)))
    before = git(work, "rev-parse", "HEAD")
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=9)))
    shell(work, fix_of(work, "plan", "--against", before))
    publish(work, "Leave the record alone")
    assert "is edited since" not in str(cli(work, "plan", "--against", before).exception)


def test_a_remote_that_is_no_forge(work: Path) -> None:
    plan = ("plan", "--comment", "-o", "markdown", "--base", "HEAD")
    command = fix_of(work, *plan)
    assert command == "git remote set-url origin <the repository's address>"
    shell(work, command.replace("<the repository's address>", "https://github.com/team/churn.git"))
    assert "the remote is on no forge" not in str(cli(work, *plan).exception)


def test_a_repository_that_moved_to_another_address(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address(work)
    plan = ("plan", "--comment", "-o", "markdown", "--base", "HEAD")
    with served_forge(monkeypatch, {git(work, "branch", "--show-current"): 7}) as forge:
        forge.faults = [Fault("GET", 301, {"Location": "https://code.example.org/acme/store"})]
        command = fix_of(work, *plan)
        assert command == "git remote set-url origin <its new address>"
        shell(work, command.replace("<its new address>", "https://code.example.org/acme/store.git"))
    assert git(work, "remote", "get-url", "origin") == "https://code.example.org/acme/store.git"
