"""The commands `data check` and `data drift`: stale data is an error until new data arrives, and drift is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gitops_ml.stages.ingest import ingest
from gitops_ml.stages.params import Ingest, Prepare, load_section
from gitops_ml.stages.prepare import prepare
from tests.forked_command import run_command

PARAMS = """
ingest:
  until: "{until}"
  sources:
    calls: {{file: {folder}/calls.csv, time: at}}
validate:
  freshness: {{table: calls, column: at, max_age: 7d, now: "2024-03-02"}}
  tables:
    calls:
      columns:
        at: {{dtype: "datetime64[ns, UTC]"}}
        seconds: {{dtype: int64, checks: {{ge: 0}}}}
        line: {{dtype: object, checks: {{isin: [a, b]}}}}
prepare:
  table: calls
  target: {{name: long, expression: seconds > 100}}
  features: [seconds, line]
  keep: [at]
  split: {{by: time, column: at}}
train:
  name: calls
  target: long
  positive: 1
  time_column: at
  features: [seconds, line]
  categorical: [line]
  estimator: {{path: sklearn.linear_model.LogisticRegression}}
"""


def month(number: int, seconds: int, line: str = "a") -> str:
    days = [f"2024-{number:02d}-{day:02d}T{hour:02d}:00:00Z" for day in range(1, 29) for hour in range(24)]
    return "".join(f"{time},{seconds + i % 60},{line}\n" for i, time in enumerate(days))


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "calls.csv").write_text("at,seconds,line\n" + month(1, 50) + month(2, 90))
    collect(tmp_path, "2024-01")
    return tmp_path


def collect(clone: Path, until: str) -> None:
    (clone / "params.yaml").write_text(PARAMS.format(until=until, folder=clone))
    ingest(load_section(clone / "params.yaml", Ingest), clone / "data" / "raw")


def run(clone: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    result = run_command(["data", *arguments, "-o", "json"], clone, 120)
    return result.returncode, json.loads(result.stdout or "{}"), result.stderr


def test_stale_data_fails_until_new_data_arrives(clone: Path) -> None:
    code, report, errors = run(clone, "check")
    assert (code, report["ok"]) == (1, False)
    assert report["freshness"]["age"] == pytest.approx(33, abs=0.1)
    assert "table 'calls' is stale: its newest at is 2024-01-28T23:00:00+00:00" in errors
    assert "fix:" in errors
    collect(clone, "2024-02")
    code, report, errors = run(clone, "check")
    assert (code, report["ok"], errors) == (0, True, "")
    assert report["rows"] == {"calls": 1344}


def test_now_sets_the_time_of_the_judgement(clone: Path) -> None:
    assert run(clone, "check", "--now", "2024-01-30")[0] == 0
    assert run(clone, "check", "--now", "clock")[0] == 1
    code, _, errors = run(clone, "check", "--now", "tomorrow-ish")
    assert code == 1
    assert "`tomorrow-ish` is not a time" in errors


def test_all_problems_are_reported_at_once(clone: Path) -> None:
    (clone / "calls.csv").write_text("at,seconds,line\n" + month(1, -5, "c"))
    collect(clone, "2024-01")
    code, report, errors = run(clone, "check")
    assert code == 1
    assert len(report["problems"]) == 2  # the schema, and the age
    assert "isin" in errors
    assert "stale" in errors


def test_the_error_of_a_clone_without_data_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(PARAMS.format(until="2024-01", folder=tmp_path))
    code, _, errors = run(tmp_path, "check")
    assert code == 1
    assert "data/raw is not in this clone" in errors
    assert "dvc pull data/raw" in errors


def test_data_check_says_that_it_belongs_to_the_stages(tmp_path: Path) -> None:
    code, _, errors = run(tmp_path, "check")
    assert code == 1
    assert "`data check` runs the checks of the validate stage" in errors
    (tmp_path / "params.yaml").write_text("train: {lr: 0.1}\n")
    assert "has no section 'validate'" in run(tmp_path, "check")[2]


@pytest.mark.parametrize("params", [None, "train: {lr: 0.1, epochs: 3}\nprepare: {seed: 1}\n", "lr: 0.1\n"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_drift_of_a_repository_with_stages_of_its_own(tmp_path: Path, params: str | None, suffix: str) -> None:
    if params is not None:
        (tmp_path / "params.yaml").write_text(params)
    rng = np.random.default_rng(3)
    for number, (name, mean) in enumerate({"old": 0.0, "new": 2.0}.items(), start=1):
        frame = pd.DataFrame(
            {
                "key": [f"{name}{i}" for i in range(500)],
                "at": pd.date_range(f"2024-{number:02d}-01", periods=500, freq="h").astype(str),
                "amount": rng.normal(mean, 1, 500),
                "kind": rng.choice(["a", "b"], 500),
                f"only_{name}": 1,
            }
        )
        path = tmp_path / f"{name}.{suffix}"
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path)
    files = ("--reference", f"old.{suffix}", "--rows", f"new.{suffix}")
    code, report, _ = run(tmp_path, "drift", *files)
    assert (code, report["target"]) == (0, "")
    assert [entry["column"] for entry in report["features"]] == ["amount", "kind"]
    assert report["features"][0]["index"] > 1 > 0.1 > report["features"][1]["index"]
    code, document, _ = run(tmp_path, "drift", *files, "--by-month", "--time", "at")
    assert code == 0
    months = document["months"]
    assert [entry["month"] for entry in months] == ["2024-01", "2024-02"]
    assert months[1]["moved"][0]["column"] == "amount"
    code, _, errors = run(tmp_path, "drift", *files, "--by-month")
    assert code == 1
    assert "add --time COLUMN" in errors


def test_drift_without_files_says_which_to_give(tmp_path: Path) -> None:
    code, _, errors = run(tmp_path, "drift")
    assert code == 1
    assert "data/train.parquet is not in this clone" in errors
    assert "--reference and --rows" in errors


def test_drift_is_shown_by_feature_and_by_month(clone: Path) -> None:
    collect(clone, "2024-02")
    rows = (clone / "data" / "train.parquet", clone / "data" / "holdout.parquet")
    prepare(load_section(clone / "params.yaml", Prepare), clone / "data" / "raw", *rows)
    code, report, _ = run(clone, "drift")
    assert code == 0
    index = {entry["column"]: entry["index"] for entry in report["features"]}
    assert index["seconds"] > 1
    assert index["line"] == 0
    assert report["target_before"] < 0.2 < report["target_now"]
    code, document, _ = run(clone, "drift", "--by-month")
    months = document["months"]
    assert [entry["month"] for entry in months] == ["2024-01", "2024-02"]
    assert months[1]["moved"][0]["column"] == "seconds"
