"""`site` on a real clone whose engine does not answer: what the records say, and no more."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from gitops_ml.core.verification.verdict import CheckResult
from tests.git.cli_clone import V2, attempt, cli, generation, publish, put_record, with_model, write
from tests.git.conftest import git

CHECK = CheckResult(name="smoke", result="pass", reason="it answers <b>well</b>", figures={"seconds": 0.01})


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Staging serves churn v2.0.0, which was Verified an hour ago."""
    work = with_model(tmp_path)
    commit = git(work, "rev-parse", "HEAD")
    serving = generation("v2.0.0", V2, commit)
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=1), checks=(CHECK,)))
    return work


def test_a_host_that_does_not_answer_leaves_the_records(work: Path, tmp_path: Path) -> None:
    result = cli(work, "site", str(tmp_path / "site"), "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["index"] == str(tmp_path / "site" / "index.html")
    assert document["pages"] == len(list((tmp_path / "site").rglob("*.html")))
    (prod, staging) = document["environments"]
    assert (prod["environment"], staging["environment"]) == ("prod", "staging")
    assert "no-engine.sock" in staging["unanswered"]
    overview = (tmp_path / "site" / "index.html").read_text()
    assert "no-engine.sock" in overview and "records only" in overview
    page = (tmp_path / "site" / "staging" / "churn" / "index.html").read_text()
    assert "v2.0.0" in page and "host's state is not known" in page.replace("&#39;", "'")


def test_an_attempt_names_its_commit_and_escapes_its_checks(work: Path, tmp_path: Path) -> None:
    assert cli(work, "site", str(tmp_path / "site"), "--no-live").exit_code == 0
    (page,) = (tmp_path / "site" / "staging" / "churn").glob("attempt-*.html")
    text = page.read_text()
    assert "Add the model" in text, "the subject of the commit that was rolled out"
    assert "it answers &lt;b&gt;well&lt;/b&gt;" in text


def test_the_lineage_goes_from_the_container_to_the_tag(work: Path, tmp_path: Path) -> None:
    assert cli(work, "site", str(tmp_path / "site"), "--no-live").exit_code == 0
    text = (tmp_path / "site" / "staging" / "churn" / "lineage.html").read_text()
    places = [text.index(part) for part in ("Container", "Deployed by commit", "Version", "churn v2.0.0")]
    assert places == sorted(places)


def test_one_environment_that_cannot_be_read_hides_no_other(work: Path, tmp_path: Path) -> None:
    write(work, "environments/dev/environment.yaml", "schema: 1\ngatway: {port: 1}\n")
    publish(work, "Break dev")
    result = cli(work, "site", str(tmp_path / "site"), "--no-live")
    assert result.exit_code == 1
    assert "dev: environments/dev/environment.yaml" in result.stderr
    assert "cannot be shown" in (tmp_path / "site" / "index.html").read_text()
    assert (tmp_path / "site" / "staging" / "churn" / "index.html").exists()


def test_a_deployment_that_is_declared_no_more_keeps_its_page(work: Path, tmp_path: Path) -> None:
    git(work, "rm", "-q", "environments/staging/models/churn.yaml")
    publish(work, "Remove churn")
    assert cli(work, "site", str(tmp_path / "site"), "--no-live").exit_code == 0
    assert "does not declare it any more" in (tmp_path / "site" / "staging" / "churn" / "index.html").read_text()


def test_files_of_somebody_are_left_alone_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "thesis").write_text("")
    result = cli(tmp_path / "no-clone", "site", str(tmp_path))
    assert "holds other files" in str(result.exception)


def test_a_broken_record_is_no_record(work: Path, tmp_path: Path) -> None:
    write(work, "environments/prod/records/churn.yaml", "attempts: <script>")
    publish(work, "Break a record")
    assert cli(work, "site", str(tmp_path / "site"), "--no-live").exit_code == 0
    assert "None is recorded yet" in (tmp_path / "site" / "prod" / "churn" / "index.html").read_text()


def test_the_figures_of_a_check_are_those_of_history(work: Path, tmp_path: Path) -> None:
    history = json.loads(cli(work, "history", "staging", "churn", "-o", "json").stdout)
    (recorded,) = history["records"]["churn"]["attempts"]
    assert msgspec.to_builtins(CHECK) == recorded["checks"][0]
    assert cli(work, "site", str(tmp_path / "site"), "--no-live").exit_code == 0
    (page,) = (tmp_path / "site" / "staging" / "churn").glob("attempt-*.html")
    assert "0.01" in page.read_text()
