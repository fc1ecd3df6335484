"""The composite action: what its scripts tell GitHub, and what they keep from everybody else.

Each test runs the steps that action.yml has, with its inputs and their defaults, as a runner does.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.git.conftest import run

ROOT = Path(__file__).parents[3]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
EXPRESSION = re.compile(r"\$\{\{ (.+?) \}\}")
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
    """A workspace, where the program on the PATH says what it was given."""
    program = tmp_path / "workspace" / "bin" / "gitops-ml"
    program.parent.mkdir(parents=True)
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return tmp_path / "workspace"


def act(action: Path, command: str = "plan prod", code: int = 0, **chosen: str) -> Ran:
    """Run the steps of the action for a job that has gitops-ml on its PATH. `chosen`: inputs, with `_` for `-`."""
    inputs = {name: str(each.get("default", "")) for name, each in ACTION["inputs"].items()}
    inputs |= {"command": command, "install": "false", "token": ""}
    inputs |= {name.replace("_", "-"): value for name, value in chosen.items()}
    told = {
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(action / "output"),
        "GITHUB_STEP_SUMMARY": str(action / "summary"),
        "GITHUB_SERVER_URL": "https://git.example.org",
        "HOME": str(action),
        "PATH": f"{action / 'bin'}:{os.environ['PATH']}",
        "CODE": str(code),
    }
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SSH_")}
    (step,) = (step for step in ACTION["runs"]["steps"] if step.get("if") != "inputs.install == 'true'")
    given = {name: EXPRESSION.sub(lambda match: _value(match[1], inputs), text) for name, text in step["env"].items()}
    script = ["bash", "-e", "-o", "pipefail", "-c", step["run"]]
    done = subprocess.run(script, env=clean | told | given, cwd=action, capture_output=True, text=True)
    files = [action / name for name in ("output", "summary")]
    return Ran(done.returncode, done.stdout, *(file.read_text() if file.exists() else "" for file in files))


def _value(expression: str, inputs: dict[str, str]) -> str:
    """The value of an expression of GitHub's, as far as the action has them."""
    if expression == "inputs.install == 'true' && steps.installed.outputs.folder || ''":
        return ""
    return inputs[expression.removeprefix("inputs.")]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5])
def test_the_exit_code_is_the_step_s_and_an_output(action: Path, code: int) -> None:
    done = act(action, "sync prod", code=code)
    assert (done.code, done.output.splitlines()[0]) == (code, f"exit-code={code}")
    assert ("::error" in done.said) == (code != 0)
    assert done.summary.startswith(
        f"### `gitops-ml sync prod` ended with {code}\n\n``````text\nsaid 2 words: sync prod\n"
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
    done = act(action, token="ghs_secret")
    basic = base64.b64encode(b"x-access-token:ghs_secret").decode()
    assert f"token= key= remote=AUTHORIZATION: basic {basic}\n" in done.said
    assert f"::add-mask::{basic}" in done.said
    assert _files_with(action, "ghs_secret") == []


def test_the_key_goes_to_an_agent_that_ends_with_the_step(action: Path, tmp_path: Path) -> None:
    run(tmp_path, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "deploy key", "-f", str(tmp_path / "key"))
    key = (tmp_path / "key").read_text()
    done = act(action, ssh_key=key, known_hosts="models.example.org ssh-ed25519 AAAA")
    assert "deploy key (ED25519)" in done.said
    assert (action / ".ssh/known_hosts").read_text() == "models.example.org ssh-ed25519 AAAA\n"
    assert _files_with(action, key.splitlines()[1]) == []


def _files_with(folder: Path, secret: str) -> list[Path]:
    """Files below `folder` that hold a secret; what the program itself printed is masked by the runner."""
    found = [p for p in folder.rglob("*") if p.is_file() and p.name != "summary"]
    return [p for p in found if secret in p.read_text(errors="replace")]


def test_only_a_command_that_writes_to_the_forge_gets_the_token_for_that(action: Path) -> None:
    assert "forge=s3cret\n" in act(action, "plan --base HEAD^1 --comment", token="s3cret").said
    assert "forge=s3cret\n" in act(action, "sync prod", statuses="true", token="s3cret").said
    assert "forge=s3cret\n" in act(action, "retrain --push", token="s3cret").said
    assert "forge=s3cret\n" in act(action, "bump prod churn v2.0.0 --pr", token="s3cret").said
    assert "forge=\n" in act(action, "plan --base HEAD^1 -o markdown", token="s3cret").said


def test_later_steps_know_whether_a_plan_has_changes_and_where_its_comment_is(action: Path) -> None:
    output = act(action, "plan", accept="2", code=2, comment="true").output.splitlines()
    assert output[:4] == [
        "exit-code=2",
        "changed=true",
        "verdict=",
        "comment-url=https://git.example.org/team/shop/pull/7#c1",
    ]
    name, end = output[4].split("<<")
    assert (name, output[5], output[-1]) == ("plan", "said 2 words: plan --comment", end)
    assert not [line for line in output if line.startswith("comment edited")], "progress is no part of the plan"
    assert output.count(end) == 1 and len(end) > 30
    (action / "output").unlink()
    assert "changed=false" in act(action, "plan").output


@pytest.mark.parametrize(
    ("command", "code", "verdict"),
    [("sync", 0, "Verified"), ("sync", 3, "Failed"), ("wait", 4, "Inconclusive"), ("verify", 1, ""), ("plan", 4, "")],
)
def test_later_steps_know_the_verdict(action: Path, command: str, code: int, verdict: str) -> None:
    output = act(action, command, code, environment="staging prod").output
    assert f"verdict={verdict}\n" in output and ("said" in output) == (command == "plan")


def test_environments_comment_and_statuses_become_words_of_the_command(action: Path) -> None:
    assert "said 4 words: plan --base HEAD^1 prod\n" in act(action, "plan --base HEAD^1", environment="prod").said
    assert "said 3 words: sync prod --statuses\n" in act(action, "sync", environment="prod", statuses="true").said
    refused = act(action, comment="yes")
    assert refused.code == 1 and "the input comment is 'yes', and must be true or false" in refused.said


def test_a_clone_may_be_in_a_folder_of_the_workspace(action: Path) -> None:
    run(action, "git", "init", "-q", "models")
    run(action / "models", "git", "config", "user.name", "Ada")
    (action / "bin/gitops-ml").write_text('#!/bin/sh\ngit config user.name; basename "$PWD"\n')
    assert act(action, working_directory="models").said.splitlines()[-2:] == ["Ada", "models"]


def test_the_cache_s_key_changes_with_all_that_is_installed(tmp_path: Path) -> None:
    def key(**changed: str) -> str:
        output = tmp_path / "output"
        output.unlink(missing_ok=True)
        told = {"RUNNER_TEMP": "/runner/temp", "RUNNER_OS": "Linux", "RUNNER_ARCH": "X64", "GITHUB_OUTPUT": str(output)}
        script = str(tmp_path / "source/.github/action/install")
        run(tmp_path, "env", *(f"{name}={value}" for name, value in (told | changed).items()), script, "key")
        folder, name = (line.partition("=")[2] for line in output.read_text().splitlines())
        assert folder.rpartition("-")[2] == name.rpartition("-")[2] and name.startswith("gitops-ml-Linux-X64-")
        return name

    for path in (".github/action", ".github/workflows", "requirements", "gitops_ml/cli"):
        shutil.copytree(ROOT / path, tmp_path / "source" / path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "source")
    first = key(PYTHON=sys.executable)
    assert key(PYTHON=sys.executable) == first
    assert key(PYTHON=sys.executable, RUNNER_TEMP="/other") != first
    for path in ("requirements/runtime.txt", "gitops_ml/cli/main.py", ".github/workflows/plan.yml"):
        with (tmp_path / "source" / path).open("a") as file:
            file.write("# one more line\n")
        second = key(PYTHON=sys.executable)
        assert second != first, path
        first = second


def test_github_would_take_the_action_and_the_workflows() -> None:
    """By GitHub's published schemas, and as an attacker would read them."""
    programs = Path(sys.executable).parent
    workflows = sorted(str(path) for path in (ROOT / ".github/workflows").glob("*.yml"))
    schemas = {"vendor.github-actions": ["action.yml"], "vendor.github-workflows": workflows}
    for schema, files in schemas.items():
        run(ROOT, str(programs / "check-jsonschema"), "--builtin-schema", schema, *files)
    run(ROOT, str(programs / "zizmor"), "--offline", "--quiet", "action.yml", *workflows)


def test_every_input_and_output_is_used() -> None:
    texts = str(ACTION["runs"])
    assert [name for name in ACTION["inputs"] if f"inputs.{name}" not in texts] == []
    script = (ROOT / ".github/action/run").read_text()
    assert [name for name in ACTION["outputs"] if f"{name}=" not in script and f"{name}<<" not in script] == []
