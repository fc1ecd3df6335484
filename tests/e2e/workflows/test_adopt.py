"""Repositories as others laid them out come from `adopt` to a verified answer, which is the model's own."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from tests.e2e.workshop import ROOT, Ran, free_port
from tests.forked_command import run_command

pytestmark = pytest.mark.timeout(600)
BIN = Path(sys.executable).parent


class Team:
    """A copy of an example, as a repository with a remote, that has never seen gitops-ml."""

    def __init__(self, folder: Path, project: str, example: str) -> None:
        self.folder = folder / project  # `adopt` names the project after the folder
        self.port = free_port()
        shutil.copytree(ROOT / "examples" / example, self.folder)
        self.shell("git init -q -b main")
        self.shell(f"git init -q --bare -b main ../{project}.git && git remote add origin ../{project}.git")

    def shell(self, command: str) -> str:
        """Run a command line as a person types it; `python` and `dvc` are those of the tests."""
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-ec", command], cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def commit(self) -> None:
        self.shell("git add -A && git commit -qm 'As the team has it' && git push -q -u origin main")

    def run(self, *arguments: str, code: int = 0) -> Ran:
        """Run `gitops-ml`."""
        done = run_command(arguments, self.folder, 500)
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return Ran(done.returncode, done.stdout, done.stderr)

    def use_free_port(self) -> None:
        """Another port than the one that is written, since tests run side by side."""
        file = self.folder / "environments/dev/environment.yaml"
        file.write_text(re.sub(r"port: \d+", f"port: {self.port}", file.read_text()))

    def ask(self, deployment: str, request: Any) -> dict[str, Any]:
        """The outputs for an inference request, by name."""
        url = f"http://127.0.0.1:{self.port}/v2/models/{deployment}/infer"
        with urllib.request.urlopen(urllib.request.Request(url, json.dumps(request).encode()), timeout=30) as answer:
            outputs = json.load(answer)["outputs"]
        return {output["name"]: np.array(output["data"]).reshape(output["shape"]) for output in outputs}

    def example(self, folder: str) -> Any:
        return json.loads((self.folder / folder / "example.json").read_text())


@pytest.fixture
def team(tmp_path: Path, scratch_project: Callable[[], str]) -> Callable[[str], Team]:
    return lambda example: Team(tmp_path, scratch_project(), example)


def printed(ran: Ran) -> list[str]:
    """The commands that a command prints as the next ones."""
    return [line.removeprefix("next: ") for line in ran.err.splitlines() if line.startswith("next: ")]


def test_a_pickle_of_a_script_without_dvc(team: Callable[[str], Team]) -> None:
    wine = team("plain-script")
    wine.shell("python train.py")
    wine.commit()
    dry = wine.run("adopt", "--dry-run")
    assert "RandomForestClassifier, classification, 3 classes" in dry.out and not wine.shell("git status --short")
    adopted = wine.run("adopt")
    assert "a row of wine.csv" in adopted.out
    wine.use_free_port()
    commands = printed(adopted)
    assert [command.split()[1] for command in commands] == ["add", "register", "bump"]
    for command in commands:
        wine.shell(command)
    wine.run("sync", "dev")
    rows = pd.read_csv(wine.folder / "wine.csv").drop(columns="target")
    model = joblib.load(wine.folder / "models/wine.pkl")
    request = wine.example("serving/wine")
    row = pd.DataFrame({tensor["name"]: tensor["data"] for tensor in request["inputs"]})[list(rows.columns)]
    answer = wine.ask("wine", request)
    assert answer["predict"].tolist() == model.predict(row).tolist()
    assert np.allclose(answer["predict_proba"], model.predict_proba(row))
    assert wine.run("check").out.startswith("ok wine: it loads")
    again = wine.run("adopt", "wine")
    assert "same serving/wine/manifest.json" in again.out and not wine.shell("git status --short")


def test_a_version_that_gto_registered_long_before_is_served(team: Callable[[str], Team]) -> None:
    diabetes = team("dvc-stages")
    diabetes.shell("dvc init -q && dvc remote add -q -d store ../store && dvc repro -q && dvc push -q")
    diabetes.commit()
    diabetes.shell("gto register diabetes --version v1.0.0 && git push -q --tags")
    diabetes.shell("echo 'alpha: 2.0' > params.yaml && dvc repro -q && dvc push -q")
    diabetes.commit()
    adopted = diabetes.run("adopt", "-o", "json", "--commit")
    (model,) = json.loads(adopted.out)["models"]
    assert (model["task"], model["sample"]) == ("regression", "data/train.csv")
    assert (
        json.loads((diabetes.folder / "serving/diabetes/manifest.json").read_text())["target"]["name"] == "progression"
    )
    diabetes.use_free_port()
    diabetes.shell("git commit -qam 'Take another port' && git push -q")
    diabetes.run("bump", "dev", "diabetes", "v1.0.0", "--create", "--allow-pickle", "--push")
    diabetes.run("sync", "dev")
    request = diabetes.example("serving/diabetes")
    served = diabetes.ask("diabetes", request)["predict"]
    diabetes.shell("git checkout -q diabetes@v1.0.0 -- dvc.lock && dvc checkout -q")
    row = pd.DataFrame({tensor["name"]: tensor["data"] for tensor in request["inputs"]})
    assert np.allclose(served, joblib.load(diabetes.folder / "models/diabetes.joblib").predict(row))


def test_two_pipelines_in_one_repository(team: Callable[[str], Team]) -> None:
    both = team("monorepo")
    both.shell("dvc init -q && dvc remote add -q -d store ../store && dvc repro -q -R . && dvc push -q")
    both.commit()
    (both.folder / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch /tmp/gitops-ml-was-here'\ntR.")
    both.commit()
    wanted = both.run("adopt", "evil.pkl", "reviews/model.pkl", "prices/out/model.joblib", code=1)
    assert "evil.pkl" in wanted.err and "neither predict nor transform" in wanted.err
    assert not Path("/tmp/gitops-ml-was-here").exists(), "it ran in the container"
    assert "reviews:reviews" in wanted.out and "prices:prices" in wanted.out, "the others are adopted"
    assert "zeros" in wanted.out, "no file has the five columns of an array"
    both.use_free_port()
    both.commit()
    for name in ("reviews", "prices"):
        both.run("register", f"{name}:{name}", "--push")
        deployment = [
            "bump",
            "dev",
            name,
            "latest",
            "--create",
            "--model",
            f"{name}:{name}",
            "--allow-pickle",
            "--push",
        ]
        both.run(*deployment)
    both.run("sync", "dev")
    texts = ["fast and friendly", "cold and rude"]
    request = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}]}
    model = pickle.loads((both.folder / "reviews/model.pkl").read_bytes())
    assert both.ask("reviews", request)["predict"].tolist() == model.predict(texts).tolist() == ["good", "bad"]
    array = np.random.default_rng(0).normal(size=(3, 5))
    request = {"inputs": [{"name": "X", "shape": [3, 5], "datatype": "FP64", "data": array.ravel().tolist()}]}
    expected = joblib.load(both.folder / "prices/out/model.joblib").predict(array)
    assert np.allclose(both.ask("prices", request)["predict"], expected)
