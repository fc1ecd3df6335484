"""`plan -o markdown`: what a pull request does, read from Git where no engine answers."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from tests.git.cli_clone import attempt, cli, clone, generation, publish, put_record, shell, write
from tests.git.conftest import git

ROWS = "x,late\n1,0\n2,1\n"
PROD = "environments/prod/models/churn.yaml"


def declare(version: str) -> str:
    return f"schema: 1\nmodel: churn\nversion: {version}\n"


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two versions of a model in Git, prod declares the first, and a branch for the pull request is checked out."""
    work = clone(tmp_path)
    write(work, "dvc.yaml", "artifacts:\n  churn: {path: model, type: model}\n")
    tensor = {"name": "x", "datatype": "FP64", "shape": [-1]}
    document = {"schema": 1, "name": "churn", "format": "skops", "inputs": [tensor], "outputs": [tensor]}
    for version, numpy in (("v1.0.0", "2.0.0"), ("v2.0.0", "2.1.0")):
        write(work, "model/manifest.json", json.dumps(document))
        write(work, "model/requirements.txt", f"numpy=={numpy}\n")
        publish(work, f"Train {version}")
        git(work, "tag", "-a", "-m", version, f"churn@{version}")
        git(work, "push", "-q", "origin", f"churn@{version}")
    write(work, PROD, declare("v1.0.0"))
    write(work, "environments/staging/models/churn.yaml", declare("v1.0.0"))
    publish(work, "Declare it")
    git(work, "switch", "-q", "-c", "bump")
    return work


def commit(work: Path, message: str = "Change it") -> None:
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", message)


def test_a_bump_is_described_without_an_engine(work: Path) -> None:
    write(work, PROD, declare("v2.0.0"))
    commit(work)
    done = cli(work, "plan", "-o", "markdown", "--base", "main", "--no-predictions")
    assert done.exit_code == 2, done.output
    assert done.stdout.splitlines()[0] == (
        "**`prod`**: all users of `churn` move from `v1.0.0` to `v2.0.0` at once, after its checks pass.  "
    )
    for part in (
        "Nothing changes for users of `staging`.",
        "The host was not asked: ",
        "no-engine.sock",
        "### `churn` `v1.0.0` → `v2.0.0`",
        "| `numpy` | `2.0.0` | `2.1.0` | - |",
        "staging/churn has nothing to promote",
    ):
        assert part in done.stdout, part


def test_it_is_the_change_since_the_branch_left_its_base(work: Path) -> None:
    """What others merged meanwhile is no part of the pull request."""
    write(work, PROD, declare("v2.0.0"))
    commit(work)
    git(work, "switch", "-q", "main")
    serving = generation("v1.0.0", f"md5:{'1' * 32}", git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2)))
    git(work, "switch", "-q", "bump")
    done = cli(work, "plan", "-o", "markdown", "--no-predictions")
    assert done.exit_code == 2, done.output
    assert "`v1.0.0` → `v2.0.0`" in done.stdout and "records are edited" not in done.stdout


def test_edited_records_and_a_broken_file_stop_it(work: Path) -> None:
    write(work, "environments/prod/records/churn.yaml", "schema: 1\n")
    write(work, PROD, "schema: 1\nmodel: churn\nversion: v9.9.9\n")
    commit(work)
    done = cli(work, "plan", "-o", "markdown", "--base", "main", "--no-predictions")
    assert done.exit_code == 1
    assert "❌ **2 rules stop it**" in done.stdout
    assert "❌ records are edited: environments/prod/records/churn.yaml" in done.stdout
    assert "| `churn` | cannot be accepted | - | - | - |" in done.stdout


def test_the_fixes_of_its_rules_work_as_printed(work: Path) -> None:
    write(work, PROD, f"{declare('v2.0.0')}hold: {{reason: fair week}}\n")
    commit(work)
    text = cli(work, "plan", "-o", "markdown", "--base", "main", "--no-predictions").stdout
    fixes = [fix for fix in re.findall("fix: `(gitops-ml (?:release|bump) [^`]*)`", text) if "--create" not in fix]
    assert fixes == ["gitops-ml release prod churn", "gitops-ml bump prod churn v2.0.0"]
    for fix in fixes:
        shell(work, fix)
    declared = (work / PROD).read_text()
    assert "hold" not in declared and "digest: md5:" in declared


def test_nothing_changes_without_a_change(work: Path) -> None:
    write(work, "README.md", "hello\n")
    commit(work)
    done = cli(work, "plan", "-o", "markdown", "--base", "main")
    assert done.exit_code == 0
    assert done.stdout.startswith("**Nothing changes for users**")


def test_a_difference_of_two_versions_is_markdown_too(work: Path) -> None:
    done = cli(work, "diff", "churn", "v1.0.0", "v2.0.0", "--no-predictions", "-o", "markdown")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("`churn` `v1.0.0` → `v2.0.0`\n\nThe answers were not compared: not asked for")
