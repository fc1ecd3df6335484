"""The composite action's script: what it tells GitHub, and what it keeps from everybody else."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.git.conftest import run

ACTION = Path(__file__).parents[3] / ".github" / "actions" / "gitops-ml"
PROGRAM = """\
#!/bin/sh
echo "said $# words: $*"
echo "forge=${GITOPS_ML_FORGE_TOKEN:-}"
echo "comment edited: https://git.example.org/team/shop/pull/7#c1" >&2
echo "token=${TOKEN:-} key=${SSH_KEY:-} remote=$(git config --get http.https://git.example.org/.extraheader)"
ssh-add -l 2>&1
exit "${CODE:-0}"
"""


class Ran(NamedTuple):
    code: int
    said: str
    output: str
    summary: str


@pytest.fixture
def action(tmp_path: Path) -> Path:
    """The action as a runner has it, with a program in its place that says what it was given."""
    folder = tmp_path / "action" / ".github" / "actions" / "gitops-ml"
    folder.mkdir(parents=True)
    shutil.copy(ACTION / "run", folder)
    program = tmp_path / "action" / ".venv" / "bin" / "gitops-ml"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return folder


def act(action: Path, command: str = "plan prod", accept: str = "", code: int = 0, **inputs: str) -> Ran:
    home = action.parents[2]
    told = {
        "GITHUB_ACTION_PATH": str(action),
        "GITHUB_OUTPUT": str(home / "output"),
        "GITHUB_STEP_SUMMARY": str(home / "summary"),
        "GITHUB_SERVER_URL": "https://git.example.org",
        "HOME": str(home),
        "COMMAND": command,
        "ACCEPT": accept,
        "CODE": str(code),
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
    done = subprocess.run([action / "run"], env=clean | told | inputs, cwd=home, capture_output=True, text=True)
    return Ran(done.returncode, done.stdout, (home / "output").read_text(), (home / "summary").read_text())


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5])
def test_the_exit_code_is_the_step_s_and_an_output(action: Path, code: int) -> None:
    done = act(action, code=code)
    assert (done.code, done.output.splitlines()[0]) == (code, f"exit-code={code}")
    assert ("::error" in done.said) == (code != 0)
    assert done.summary.startswith(
        f"### `gitops-ml plan prod` ended with {code}\n\n``````text\nsaid 2 words: plan prod\n"
    )


def test_an_accepted_code_is_a_notice(action: Path) -> None:
    done = act(action, accept="2 4", code=2)
    assert (done.code, done.output.splitlines()[0]) == (0, "exit-code=2")
    assert (
        "::notice title=gitops-ml plan prod::changes are pending: the host does not run what is declared" in done.said
    )


def test_a_command_is_never_expanded(action: Path) -> None:
    assert "said 3 words: plan $(id) *\n" in act(action, "plan $(id) *").said


def test_the_token_lives_in_the_step_s_environment_only(action: Path) -> None:
    done = act(action, TOKEN="ghs_secret")
    basic = base64.b64encode(b"x-access-token:ghs_secret").decode()
    assert f"token= key= remote=AUTHORIZATION: basic {basic}\n" in done.said
    assert f"::add-mask::{basic}" in done.said
    assert _files_with(action.parents[2], "ghs_secret") == []


def test_the_key_goes_to_an_agent_that_ends_with_the_step(action: Path, tmp_path: Path) -> None:
    run(tmp_path, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deploy key", "-f", str(tmp_path / "key"))
    key = (tmp_path / "key").read_text()
    done = act(action, SSH_KEY=key, KNOWN_HOSTS="models.example.org ssh-ed25519 AAAA")
    assert "deploy key (ED25519)" in done.said
    assert (action.parents[2] / ".ssh/known_hosts").read_text() == "models.example.org ssh-ed25519 AAAA\n"
    assert _files_with(action.parents[2], key.splitlines()[1]) == []


def _files_with(folder: Path, secret: str) -> list[Path]:
    """Files below `folder` that hold a secret; what the program itself printed is masked by the runner."""
    found = [p for p in folder.rglob("*") if p.is_file() and p.name != "summary"]
    return [p for p in found if secret in p.read_text(errors="replace")]


def test_only_a_command_that_writes_to_the_forge_gets_the_token_for_that(action: Path) -> None:
    assert "forge=s3cret\n" in act(action, "plan --base HEAD^1 --comment", TOKEN="s3cret").said
    assert "forge=s3cret\n" in act(action, "sync prod --statuses", TOKEN="s3cret").said
    assert "forge=\n" in act(action, "plan --base HEAD^1 -o markdown", TOKEN="s3cret").said


def test_later_steps_know_whether_a_plan_has_changes_and_where_its_comment_is(action: Path) -> None:
    output = act(action, "plan --comment", accept="2", code=2).output.splitlines()
    assert output == ["exit-code=2", "changed=true", "comment-url=https://git.example.org/team/shop/pull/7#c1"]
    assert "changed=false" in act(action, "plan").output
