"""`diff` on versions in Git: what cannot be compared is said, and all else is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.git.cli_clone import answer, cli, clone, publish, write
from tests.git.conftest import git

ROWS = "x,late\n1,0\n2,1\n"


def manifest(form: str) -> str:
    tensor = {"name": "x", "datatype": "FP64", "shape": [-1]}
    return json.dumps({"schema": 1, "name": "churn", "format": form, "inputs": [tensor], "outputs": [tensor]})


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Two versions of a model in Git, the second one a pickle, and no engine."""
    work = clone(tmp_path)
    write(work, "dvc.yaml", "artifacts:\n  churn: {path: model, type: model}\n")
    write(work, "data/rows.csv", ROWS)
    for version, form, numpy in (("v1.0.0", "skops", "2.0.0"), ("v2.0.0", "joblib", "2.1.0")):
        write(work, "model/manifest.json", manifest(form))
        write(work, "model/requirements.txt", f"numpy=={numpy}\n")
        publish(work, f"Train {version}")
        git(work, "tag", "-a", "-m", version, f"churn@{version}")
    return work


def diff(work: Path, *options: str) -> dict[str, Any]:
    found: dict[str, Any] = answer(
        work,
        "diff",
        "churn",
        "v1.0.0",
        "v2.0.0",
        "--rows",
        "data/rows.csv",
        "--engine",
        f"unix://{work}/no.sock",
        *options,
    )
    return found


def test_a_pickle_is_named_with_the_option_that_loads_it(work: Path) -> None:
    found = diff(work)
    assert found["dependencies"] == {"numpy": ["2.0.0", "2.1.0"]}
    assert found["unanswered"].startswith("v2.0.0 is a pickle, and may run any code")
    assert found["unanswered"].endswith("fix: add --allow-pickle")


def test_an_engine_that_does_not_answer_costs_the_predictions_alone(work: Path) -> None:
    found = diff(work, "--allow-pickle")
    assert found["dependencies"] == {"numpy": ["2.0.0", "2.1.0"]}
    assert "no.sock does not answer" in found["unanswered"]


def test_rows_that_are_not_there_are_an_error(work: Path) -> None:
    done = cli(work, "diff", "churn", "v1.0.0", "v2.0.0", "--rows", "data/none.csv")
    assert done.exception is not None and "data/none.csv" in str(done.exception)


def test_people_see_why_there_are_no_predictions(work: Path) -> None:
    done = cli(work, "diff", "churn", "v1.0.0", "v2.0.0", "--rows", "data/rows.csv")
    assert done.exit_code == 0
    assert "numpy: 2.0.0 -> 2.1.0" in done.stdout
    assert "predictions were not compared: v2.0.0 is a pickle" in done.stderr


def test_what_neither_version_has_is_not_called_the_same(work: Path) -> None:
    done = cli(work, "diff", "churn", "v1.0.0", "v2.0.0", "--no-predictions")
    assert "metrics, each on its own held-out rows: neither has any" in done.stdout
    assert "parameters: neither has any" in done.stdout
    write(work, "metrics.json", '{"roc_auc": 0.8}\n')
    write(work, "dvc.yaml", f"{(work / 'dvc.yaml').read_text()}metrics: [metrics.json]\n")
    commit = publish(work, "Measure it")
    same = cli(work, "diff", "churn", commit, commit, "--no-predictions").stdout
    assert "metrics, each on its own held-out rows: the same" in same
    assert answer(work, "diff", "churn", "v1.0.0", "v2.0.0", "--no-predictions")["absent"] == [
        "metrics",
        "params",
        "data",
        "code",
    ]


def test_the_rows_that_judge_the_model_are_asked_without_being_named(work: Path) -> None:
    write(work, "environments/project.yaml", "schema: 1\nname: shop\n")
    write(work, "environments/dev/environment.yaml", "schema: 1\ngateway: {port: 8090}\n")
    checks = "verify: {holdout: {data: data/rows.csv, label: late, metrics: {accuracy: {min: 0.5}}}}\n"
    declared = f"schema: 1\nmodel: churn\nversion: v2.0.0\ndigest: md5:{'0' * 32}\n{checks}"
    write(work, "environments/dev/models/churn.yaml", declared)
    publish(work, "Declare it")
    done = cli(work, "diff", "churn", "v1.0.0", "v2.0.0", "--allow-pickle", "--engine", f"unix://{work}/no.sock")
    assert "no.sock does not answer" in done.stderr
