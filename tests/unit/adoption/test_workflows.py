"""The workflows that `adopt --workflows` copies use the action of another repository, and are in the package."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from gitops_ml.adoption.workflows import NAMES, workflow_files
from gitops_ml.errors import InputError

ROOT = Path(__file__).parents[3]


def test_the_copies_use_the_action_of_the_other_repository() -> None:
    files = workflow_files("acme/gitops-ml@0123abc")
    assert set(files) == {f".github/workflows/{name}" for name in NAMES}
    for content in files.values():
        (job,) = yaml.safe_load(content)["jobs"].values()
        uses = [step["uses"] for step in job["steps"]]
        assert "acme/gitops-ml@0123abc" in uses
        assert not any(each.startswith("./") for each in uses)


@pytest.mark.parametrize("action", ["", "gitops-ml", "acme/gitops-ml", "acme/gitops-ml@x y", "a/b@c\n- run: evil"])
def test_what_is_no_action_is_refused(action: str) -> None:
    with pytest.raises(InputError, match="names no action"):
        workflow_files(action)


def test_a_wheel_holds_them(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"gitops_ml/adoption/github/{name}" for name in NAMES} <= names
