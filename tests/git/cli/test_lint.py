"""`lint` on real clones: what is wrong in the files of the work tree, without network and without engine."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gitops_ml.cli.commands.init import scaffold
from gitops_ml.cli.main import application
from tests.git.cli_clone import V1, cli, clone, declaration, write
from tests.git.conftest import git

ROOT = Path(__file__).parents[3]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A clone whose remote is gone: nothing may be asked there."""
    work = clone(tmp_path)
    (tmp_path / "remote.git").rename(tmp_path / "gone.git")
    return work


def problems(work: Path) -> dict[str, str]:
    """What `lint` finds wrong, by subject."""
    printed: dict[str, Any] = json.loads(cli(work, "lint", "-o", "json").stdout)
    assert printed["schema"] == 1 and printed["ok"] is not bool(printed["errors"])
    return {error.get("subject", ""): f"{error['what']}: {error['why']}" for error in printed["errors"]}


def test_files_that_are_right(work: Path) -> None:
    ran = cli(work, "lint")
    assert (ran.exit_code, ran.stdout) == (0, "ok: 2 environments, 2 deployments\n")


def test_what_init_writes_is_right(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    for path, content in scaffold("churn").items():
        write(tmp_path, path, content)
    assert cli(tmp_path, "lint").stdout == "ok: 3 environments, 0 deployments\n"


def test_the_texts_of_a_models_artifact_are_checked_too(work: Path) -> None:
    write(work, "dvc.yaml", "artifacts:\n  churn: {path: models/churn.pkl, type: model}\n")
    write(work, "models/churn.pkl", "x")
    assert problems(work) == {}, "another server may serve what has no manifest"
    write(work, "serving/churn/manifest.json", json.dumps({"schema": 1, "name": "churn", "inputs": []}))
    told = problems(work)["churn"]
    assert "`inputs` is empty" in told and "serving/churn lacks" not in told
    (work / "models/churn.pkl").unlink()
    assert problems(work) == {}, "a clone may not have pulled the bytes"


def test_one_is_no_plural(work: Path) -> None:
    for environment in ("staging", "prod/models"):
        shutil.rmtree(work / "environments" / environment)
    write(work, "environments/prod/environment.yaml", "schema: 1\nengine: unix:///run/a.sock\ngateway: {port: 9102}\n")
    write(work, "environments/prod/models/churn.yaml", declaration("v1.0.0", V1))
    assert cli(work, "lint").stdout == "ok: 1 environment, 1 deployment\n"


def test_the_work_tree_is_read_and_left_as_it_is(work: Path) -> None:
    """An editor has saved, and nothing is staged or committed yet."""
    write(work, "environments/prod/models/churn.yaml", "schema: 1\nmodel: churn\nversion: v1\nreplica: 2\n")
    write(work, "environments/prod/models/new.yaml", "schema: 1\nmodel: churn\nversion: v1\nreplicas: many\n")
    before = git(work, "status", "--porcelain")
    found = problems(work)
    assert found["prod/churn"].startswith("environments/prod/models/churn.yaml:4: unknown key `replica`")
    assert "environments/prod/models/new.yaml:4" in found["prod/new"]
    assert git(work, "status", "--porcelain") == before


def test_a_file_that_is_removed_in_the_work_tree_is_gone(work: Path) -> None:
    (work / "environments/staging/environment.yaml").unlink()
    found = problems(work)
    assert "environments/staging/environment.yaml" in found["staging"]
    assert "no environment has that name" in found["prod"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("schema: 1\ngateway: {port: 9102}\n", "names no engine"),
        ("schema: 1\nengine: unix:///x\ngateway: {port: 9102}\npromotion: {from: qa, soak: 1h}\n", "is `qa`"),
        ("schema: 1\nengine: unix:///x\ngateway: {port: 70000}\n", "environment.yaml:3"),
    ],
)
def test_what_is_wrong_in_an_environment(work: Path, text: str, expected: str) -> None:
    write(work, "environments/prod/environment.yaml", text)
    assert expected in " ".join(problems(work).values())


def test_two_environments_on_one_port(work: Path) -> None:
    file = work / "environments/prod/environment.yaml"
    file.write_text(file.read_text().replace("9102", "9101"))
    assert "both listen on port 9101" in problems(work)["prod"]


def test_a_declaration_that_cannot_work(work: Path) -> None:
    file = work / "environments/prod/models/churn.yaml"
    file.write_text(f"{file.read_text()}verify: {{traffic: {{slow: 200ms}}}}\n")
    assert "verify.traffic does not go with blue-green" in problems(work)["prod/churn"]


def test_a_version_that_was_taken_back(work: Path) -> None:
    for tag in ("churn@v1.0.0", "churn@v1.0.0!"):
        git(work, "tag", "-a", "-m", tag, tag)
    assert "was deregistered" in problems(work)["prod/churn"]
    assert "staging/churn" not in problems(work), "v2.0.0 may be at the remote"


def test_outside_of_a_project(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    ran = cli(tmp_path, "lint")
    assert ran.exit_code == 1
    assert "environments does not exist" in str(ran.exception) and "fix: gitops-ml init" in str(ran.exception)


def test_the_hook_for_pre_commit_runs_a_command_that_exists() -> None:
    """Others name this repository in their .pre-commit-config.yaml."""
    hooks = ROOT / ".pre-commit-hooks.yaml"
    checked = subprocess.run(
        [Path(sys.executable).with_name("pre-commit"), "validate-manifest", hooks], capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stdout
    entries = re.findall(r"^ *entry: gitops-ml (.*)$", hooks.read_text(), re.MULTILINE)
    assert entries
    for entry in entries:
        assert CliRunner().invoke(application(), [*entry.split(), "--help"]).exit_code == 0


def test_the_hook_refuses_a_commit(work: Path) -> None:
    """As Git runs it: with the variables of the commit in its environment."""
    hook = work / ".git" / "hooks" / "pre-commit"
    hook.write_text(f"#!/bin/sh\nexec {Path(sys.executable).with_name('gitops-ml')} lint\n")
    hook.chmod(0o755)
    write(work, "environments/prod/models/churn.yaml", "schema: 1\nmodel: churn\n")
    refused = subprocess.run(["git", "commit", "-qam", "Break it"], cwd=work, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "error: prod/churn: environments/prod/models/churn.yaml" in refused.stderr
    git(work, "checkout", "-q", "--", ".")
    write(work, "environments/prod/models/churn.yaml", "schema: 1\nmodel: churn\nversion: v1.0.0\n")
    git(work, "commit", "-qam", "Mend it")
