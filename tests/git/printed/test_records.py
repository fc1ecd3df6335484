"""What is printed where a record or a revert cannot be written is run as printed, and the next try writes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import PushRejected, SourceError
from tests.git.cli_clone import shell
from tests.git.client.clones import DECLARATION, RECORD
from tests.git.conftest import commit_file, git
from tests.git.records.test_recording import make_place, protect


def record_verdicts(folder: Path) -> str:
    with Repository.open(folder) as repository:
        tip = repository.tip()
        changes = {RECORD: b"verdict\n", DECLARATION: b"reverted\n"}
        return repository.advance(repository.commit_files(tip, changes, "Record"), tip)


def refusal(folder: Path) -> str:
    with pytest.raises(PushRejected) as caught:
        record_verdicts(folder)
    return caught.value.fix


def test_an_edit_in_the_way_of_a_record(lone: Path) -> None:
    (lone / DECLARATION).write_text("mine\n")
    git(lone, "config", "core.editor", "echo Keep mine >")
    shell(lone, refusal(lone))
    assert git(lone, "log", "-1", "--format=%s") == "Keep mine"
    assert record_verdicts(lone) == "pushed"


def test_an_index_that_cannot_be_written(lone: Path) -> None:
    (lone / ".git/index.lock").touch()
    choice, _, look = refusal(lone).partition(": ")
    assert choice == "commit or stash your changes"
    shell(lone, look)
    (lone / ".git/index.lock").unlink()
    assert record_verdicts(lone) == "pushed"


def test_a_branch_that_is_being_rebased(lone: Path) -> None:
    git(lone, "branch", "other")
    commit_file(lone, "a.txt", "ours\n")
    git(lone, "switch", "-q", "other")
    commit_file(lone, "a.txt", "theirs\n")
    git(lone, "switch", "-q", "main")
    begun = subprocess.run(["git", "rebase", "other"], cwd=lone, capture_output=True, check=False)
    assert begun.returncode != 0, "the two commits conflict"
    with Repository.open(lone) as repository, pytest.raises(PushRejected, match="is being rebased") as caught:
        tip = repository.tip("main")
        repository.advance(repository.commit_files(tip, {RECORD: b"x"}, "Record"), tip, "main")
    command, _, other = caught.value.fix.partition(", or ")
    shell(lone, f"{command.rpartition(' ')[0]} {other}")
    assert record_verdicts(lone) == "pushed"


def test_a_signature_that_cannot_be_made(lone: Path) -> None:
    for key, value in (("commit.gpgsign", "true"), ("gpg.format", "ssh"), ("user.signingkey", str(lone / "absent"))):
        git(lone, "config", key, value)
    with pytest.raises(SourceError, match="the commit could not be made") as caught:
        record_verdicts(lone)
    command = caught.value.fix.removesuffix(" shows it too")
    shown = subprocess.run(command, shell=True, cwd=lone, capture_output=True, text=True, check=False)
    assert shown.returncode != 0 and "absent" in shown.stderr


def test_a_revert_that_a_protected_branch_refuses(tmp_path: Path) -> None:
    for place in make_place(tmp_path, "gitops-ml/records"):
        place.hook(protect("main"))
        (refused,) = place.record_verdicts().refused
        command, _, other = refused.fix.partition(", ")
        assert other == "as a pull request; or let this identity push to main"
        git(place.folder, "pull", "-q")
        shell(place.folder, f"{command} --branch back --push")
        assert "version: v1\n" in git(place.remote, "show", "back:environments/dev/models/churn.yaml")


def test_a_record_that_a_rule_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in make_place(tmp_path, None):
        place.hook("git log -1 --format=%an $3 | grep -q '^bot$' || { echo 'only bots' >&2; exit 1; }")
        fixes = {error.fix for error in place.record_verdicts().refused}
        look = next(fix for fix in fixes if "gitops-ml doctor" in fix).rpartition(": ")[2]
        shown = subprocess.run(look, shell=True, cwd=place.folder, capture_output=True, text=True, check=False)
        assert "only bots" in shown.stdout
        monkeypatch.setenv("GIT_AUTHOR_NAME", "bot")
        assert place.record_verdicts().refused == ()
