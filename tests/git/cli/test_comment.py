"""`plan -o markdown`: what a pull request does, read from Git where no engine answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import Result

from gitops_ml.errors import ForgeRefused, InputError
from tests.git.cli_clone import attempt, cli, clone, generation, publish, put_record, shell, write
from tests.git.cli_forge import address, served_forge
from tests.git.conftest import git
from tests.unit.clients.forge.server import TOKEN, Fault, LocalForge

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


HOLDOUT = "verify: {holdout: {data: rows.csv, metrics: {%s: {max: 9}}%s}}\n"


def test_a_holdout_that_cannot_judge_is_told_before_anything_is_built(work: Path) -> None:
    """The manifest names no target, and a model of values has no log_loss. `doctor` and `bump` know it as well."""
    write(work, "rows.csv", ROWS)
    write(work, PROD, declare("v2.0.0") + HOLDOUT % ("mae", ""))
    commit(work)
    unknown = "the label's column is not known"
    comment = cli(work, "plan", "-o", "markdown", "--base", "main", "--no-predictions").stdout
    assert f"prod/churn: its hold-out can only end Inconclusive: {unknown}" in comment
    assert "write label" in comment and "COLUMN under holdout" in comment
    assert unknown in cli(work, "bump", "prod", "churn", "v2.0.0").stderr

    write(work, PROD, declare("v2.0.0") + HOLDOUT % ("log_loss", ", label: late"))
    assert "`log_loss` does not judge a regression model" in cli(work, "bump", "prod", "churn", "v2.0.0").stderr
    commit(work)
    git(work, "push", "-q", "origin", "HEAD:main")
    assert "`log_loss` does not judge a regression model" in cli(work, "doctor").stdout

    write(work, PROD, declare("v2.0.0") + HOLDOUT % ("mae", ", label: late"))
    assert "judge" not in cli(work, "bump", "prod", "churn", "v2.0.0").stderr
    commit(work)
    assert "its hold-out" not in cli(work, "plan", "-o", "markdown", "--base", "main", "--no-predictions").stdout


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


def test_a_version_whose_tag_is_gone_is_still_where_the_change_comes_from(work: Path) -> None:
    for place in ((), ("origin",)):
        git(work, *(("push", "-q", *place, ":churn@v1.0.0") if place else ("tag", "-d", "churn@v1.0.0")))
    write(work, PROD, declare("v2.0.0"))
    commit(work)
    done = cli(work, "plan", "-o", "markdown", "--base", "main", "--no-predictions")
    assert "| `churn` | `v1.0.0` → `v2.0.0` | blue-green |" in done.stdout, done.output
    assert "The two versions were not compared" in done.stdout
    assert "staging" not in done.stdout.split("### ")[0].replace("Nothing changes for users of `staging`", "")


def test_one_environment_may_be_named_and_a_mistyped_one_is_an_error(work: Path) -> None:
    write(work, PROD, declare("v2.0.0"))
    commit(work)
    assert cli(work, "plan", "staging", "-o", "markdown", "--base", "main", "--no-predictions").exit_code == 0
    mistyped = cli(work, "plan", "prd", "-o", "markdown", "--base", "main", "--no-predictions")
    assert isinstance(mistyped.exception, InputError) and "did you mean `prod`?" in mistyped.exception.fix


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


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalForge]:
    with served_forge(monkeypatch, {"bump": 7}) as local:
        yield local


def comment(work: Path, *options: str) -> Result:
    return cli(work, "plan", "--comment", "--base", "main", "--no-predictions", *options)


def test_it_is_written_under_the_branchs_pull_request_and_edited_there(work: Path, forge: LocalForge) -> None:
    address(work)
    write(work, PROD, declare("v2.0.0"))
    commit(work)
    first = comment(work)
    assert first.exit_code == 2, first.output
    assert "comment written: " in first.stderr
    assert forge.comments[0].body.endswith(first.stdout.strip())
    assert comment(work).stderr.count("comment kept: ") == 1
    write(work, PROD, f"{declare('v2.0.0')}replicas: 3\n")
    commit(work)
    assert "comment edited: " in comment(work).stderr
    (stored,) = forge.comments
    assert "Earlier commits (1)" in stored.body
    git(work, "switch", "-q", "--detach", "HEAD~1")
    assert "comment kept: " in comment(work, "--pull-request", "7").stderr, "a later commit's is not replaced"
    assert TOKEN not in first.output
    assert forge.violations == []


def test_what_is_missing_is_said_before_anything_takes_long(
    work: Path, forge: LocalForge, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "the remote is on no forge" in str(comment(work).exception)
    address(work)
    git(work, "switch", "-q", "-c", "other")
    assert "no open pull request of other" in str(comment(work).exception)
    monkeypatch.delenv("GITOPS_ML_FORGE_TOKEN")
    assert "there is no token for Gitea" in str(comment(work).exception)
    assert forge.comments == []


def test_a_comment_that_cannot_be_written_is_printed_all_the_same(work: Path, forge: LocalForge) -> None:
    """A job of a fork has no right to write one; its log has the text."""
    address(work)
    write(work, PROD, declare("v2.0.0"))
    commit(work)
    forge.faults = [Fault("POST", 403)]
    failed = comment(work)
    assert isinstance(failed.exception, ForgeRefused)
    assert failed.stdout.startswith("**`prod`**: all users")
