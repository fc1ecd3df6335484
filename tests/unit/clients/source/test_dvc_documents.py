"""Malformed files of DVC break only the deployments that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.clients.source.conftest import MODEL, desired, git, write

DEEP = "[" * 100_000


@pytest.mark.parametrize(
    ("files", "says"),
    [
        pytest.param(
            {"dvc.lock": "stages:\n  train: now\n"}, "dvc.lock:2: stages.train: expected `object`", id="stage"
        ),
        pytest.param({"dvc.lock": "stages:\n- train\n"}, "dvc.lock:1: stages: expected `object | null`", id="stages"),
        pytest.param(
            {"dvc.lock": "stages:\n  train:\n    outs:\n    - models/churn\n"},
            "dvc.lock:4: stages.train.outs[0]: expected `object`, got `str`",
            id="output",
        ),
        pytest.param(
            {"dvc.lock": "stages:\n  train:\n    outs:\n    - {path: 7}\n"},
            "dvc.lock:4: stages.train.outs[0].path: expected `str`, got `int`",
            id="path",
        ),
        pytest.param({"dvc.lock": f"stages: {DEEP}"}, "dvc.lock:1 is nested too deep", id="deep lock"),
        pytest.param({"dvc.lock": "- a\n"}, "dvc.lock:1: the file: expected `object`", id="a list"),
        pytest.param({"dvc.lock": "a: [\n"}, "dvc.lock:2 is not valid YAML", id="no YAML"),
        pytest.param({"dvc.yaml": DEEP}, "dvc.yaml:1 is nested too deep", id="deep pipeline"),
        pytest.param({"dvc.yaml": "artifacts: [churn]\n"}, "dvc.yaml:1: artifacts: expected `object", id="artifacts"),
        pytest.param({"dvc.yaml": "artifacts:\n  churn: x\n"}, "dvc.yaml: artifacts.churn has no path", id="artifact"),
        pytest.param({"models/churn.dvc": "outs: churn\n"}, "models/churn.dvc:1: outs: expected", id=".dvc file"),
        pytest.param({"models/churn.dvc": DEEP}, "models/churn.dvc:1 is nested too deep", id="deep .dvc file"),
    ],
)
def test_a_wrong_document_breaks_only_the_deployments_that_need_it(
    folder: Path, files: dict[str, str], says: str
) -> None:
    write(folder, files)
    git(folder, "tag", "-a", "-m", "next", "churn@v2.0.0")
    read = desired(folder, {"churn.yaml": MODEL, "next.yaml": MODEL.replace("v1.0.0", "v2.0.0")})
    assert (set(read.deployments), set(read.broken)) == ({"churn"}, {"next"})
    assert says in read.broken["next"]
    assert "fix: " in read.broken["next"]
