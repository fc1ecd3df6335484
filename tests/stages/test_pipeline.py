"""DVC runs this repository's whole pipeline in a clone at another path: the same data gives the same model.

The clone has no cache, no run-cache and another hash seed, so equal digests are no accident.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from dvc.repo import Repo

from gitops_ml.stages.params import Evaluate, Ingest, Prepare, Train, load_section

ROOT = Path(__file__).parents[2]
PIPELINE = [
    ".gitignore",
    ".dvc/config",
    ".dvc/.gitignore",
    ".dvcignore",
    "dvc.yaml",
    "dvc.lock",
    "params.yaml",
    "metrics.json",
    "data/.gitignore",
    "data/validation.json",
    "models/.gitignore",
    "plots/.gitignore",
    "requirements/serving.txt",
    "gitops_ml/__init__.py",
    "gitops_ml/errors.py",
    "gitops_ml/suggest.py",
]
SERVING = ("serving", "serving/building", "serving/inspection", "serving/prediction")
PACKAGES = ("artifacts", "saving", *SERVING, "stages")


def run(directory: Path, *command: str, fails: bool = False) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONHASHSEED": "99", "DVC_NO_ANALYTICS": "1", "PYTHONPATH": ""}
    result = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)
    assert (result.returncode != 0) == fails, result.stdout + result.stderr
    return result.stdout + result.stderr


def reproduce(directory: Path) -> Path:
    """Make a repository with the work tree's files of the pipeline, and run `dvc repro` there once."""
    sources = [path for package in PACKAGES for path in (ROOT / "gitops_ml" / package).glob("*.py")]
    for name in [*PIPELINE, *(str(path.relative_to(ROOT)) for path in sources)]:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, directory / name)
    run(directory, "git", "init", "--quiet", "--initial-branch=main")
    run(directory, "git", "config", "user.name", "A Person")
    run(directory, "git", "config", "user.email", "person@example.org")
    run(directory, "git", "add", "--all")
    run(directory, "git", "commit", "--quiet", "--message=Start")
    run(directory, "dvc", "repro", "--force", "--no-run-cache")
    return directory


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reproduce(tmp_path_factory.mktemp("elsewhere") / "clone")


def before_the_model(lock: Path) -> dict[str, Any]:
    """The parts of dvc.lock that do not depend on the model's bytes."""

    def is_before(entry: dict[str, Any]) -> bool:
        return not entry["path"].startswith(("models/", "plots/", "metrics.json"))

    stages: dict[str, Any] = msgspec.yaml.decode(lock.read_bytes())["stages"]
    for stage in stages.values():
        for kind in {"deps", "outs"} & stage.keys():
            stage[kind] = [entry for entry in stage[kind] if is_before(entry)]
    return stages


def test_the_same_inputs_give_the_same_digests(clone: Path, tmp_path: Path) -> None:
    assert before_the_model(clone / "dvc.lock") == before_the_model(ROOT / "dvc.lock"), "run `dvc repro`"
    if (clone / "dvc.lock").read_text() == (ROOT / "dvc.lock").read_text():
        assert run(clone, "git", "status", "--porcelain") == ""
    else:
        # dvc.lock comes from a machine with other floating-point rounding; two clones on this machine must agree.
        again = reproduce(tmp_path / "another" / "path")
        assert (again / "dvc.lock").read_text() == (clone / "dvc.lock").read_text()
    assert "up to date" in run(clone, "dvc", "status")


def test_dvc_reads_metrics_plots_and_artifacts(clone: Path) -> None:
    shown: dict[str, Any] = json.loads(run(clone, "dvc", "metrics", "show", "--json"))
    assert shown[""]["data"]["metrics.json"]["data"]["roc_auc"] > 0.7
    vega = json.loads(run(clone, "dvc", "plots", "show", "--json"))["data"]
    assert sorted(vega) == ["Calibration", "Confusion", "Precision-recall", "ROC"]
    for name, drawn in vega.items():
        assert drawn, f"{name} draws nothing"
    assert "errors" not in vega
    artifacts = Repo(str(clone)).artifacts.read()["dvc.yaml"]
    assert {name: (artifact.type, artifact.path) for name, artifact in artifacts.items()} == {
        "flights": ("dataset", "data/raw"),
        "flight-delay": ("model", "models/flight-delay"),
    }


def test_a_new_month_makes_new_rows_and_a_new_model(clone: Path) -> None:
    """June arrives: May becomes training data, June is held out. Runs last, since it changes the clone."""
    params = (clone / "params.yaml").read_text()
    stale = params.replace('now: "2013-06-02"', 'now: "2013-07-02"')
    (clone / "params.yaml").write_text(stale)
    assert "table 'flights' is stale" in run(clone, "dvc", "repro", "validate", fails=True)
    (clone / "params.yaml").write_text(stale.replace('until: "2013-05"', 'until: "2013-06"'))
    output = run(clone, "dvc", "repro")
    assert re.search(r"train 133,603 rows .*holdout 27,075 rows \(2013-06-01 to 2013-06-30\)", output)
    difference = json.loads(run(clone, "dvc", "metrics", "diff", "--json"))
    assert difference["metrics.json"]["rows"] == {"old": 28128, "new": 27075, "diff": -1053}
    months = sorted(path.stem for path in (clone / "data" / "raw" / "flights").iterdir())
    assert months == [f"2013-0{month}" for month in range(1, 7)]


def test_a_missed_bound_stops_the_pipeline(clone: Path) -> None:
    params = (clone / "params.yaml").read_text()
    (clone / "params.yaml").write_text(params.replace("roc_auc: 0.65", "roc_auc: 0.95"))
    output = run(clone, "dvc", "repro", "--single-item", "evaluate", fails=True)
    assert "at least 0.95 is asked" in output
    assert "fix:" in output


def test_sections_name_the_same_columns() -> None:
    path = ROOT / "params.yaml"
    prepare, train = load_section(path, Prepare), load_section(path, Train)
    assert train.features == prepare.features
    assert train.target == prepare.target.name
    assert train.time_column in prepare.keep
    assert prepare.group in prepare.keep
    collected = {name for source in load_section(path, Ingest).sources.values() for name in source.columns}
    assert not {"dep_time", "dep_delay", "arr_time", "air_time"} & collected
    assert load_section(path, Evaluate).min
