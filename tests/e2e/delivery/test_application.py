"""A team's own application, judged through the mapping of its declaration: `examples/application` on a real engine."""

from __future__ import annotations

import contextlib
import io
import json
import re
import runpy
import shutil
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import docker
import pytest
import yaml

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.streams import pack
from gitops_ml.core.generation import PROJECT
from tests.e2e.workshop import ROOT, Workshop
from tests.ports import free_port

MODEL = "tumours"
PATIENT = {"radius": 13.4, "texture": 18.2}


@pytest.fixture
def team(workshop: Workshop) -> Workshop:
    """The repository of the example, with its trained model."""
    shutil.copytree(ROOT / "examples" / "application", workshop.folder, dirs_exist_ok=True)
    with contextlib.chdir(workshop.folder):
        runpy.run_path("train.py")
    workshop.ports["dev"] = free_port()
    workshop.environment(gateway={"port": workshop.ports["dev"], "drain": "1s"})
    workshop.commit("Train")
    return workshop


def built(engine: docker.DockerClient, team: Workshop, model: bytes) -> str:
    """The ID of the application's image, with this model in it."""
    files = {name: (team.folder / name).read_bytes() for name in ("Dockerfile", "app.py")}
    image, _ = engine.images.build(
        fileobj=io.BytesIO(pack({**files, "model.json": model})),
        custom_context=True,
        labels={PROJECT: team.project},
        buildargs={"BASE": BASE_IMAGE},
        nocache=True,
        rm=True,
    )
    return str(image.id)


def backwards(model: bytes) -> bytes:
    """The same model with the opposite of each answer."""
    content = json.loads(model)
    weights = {name: -weight for name, weight in content["weights"].items()}
    return json.dumps({"intercept": -content["intercept"], "weights": weights}).encode()


def declared(team: Workshop, image: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((team.folder / f"{MODEL}.yaml").read_text())
    content["serve"]["image"] = image
    return content


def score(team: Workshop) -> float:
    """The application's answer to a user, through the gateway."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{team.ports['dev']}/{MODEL}/score", json.dumps({"patients": [PATIENT]}).encode()
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return float(json.load(answer)["results"][0]["benign"])


def test_an_application_is_judged_by_its_own_answers_and_a_worse_model_in_it_is_reverted(
    engine: docker.DockerClient, team: Workshop
) -> None:
    good = (team.folder / "model.json").read_bytes()
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(partial(built, engine, team), (good, backwards(good)))
    team.run("register", MODEL, "--version", "v1.0.0", "--push")
    team.write(f"environments/dev/models/{MODEL}.yaml", yaml.safe_dump(declared(team, first)))
    team.commit("Declare the application")
    team.sync()
    checks = {check["name"]: check for check in team.record(deployment=MODEL)["attempts"][0]["checks"]}
    assert {name: check["result"] for name, check in checks.items()} == dict.fromkeys(
        ("ready", "smoke", "holdout roc_auc"), "pass"
    )
    assert checks["holdout roc_auc"]["figures"]["candidate"] > 0.9
    answer = score(team)

    team.pull()
    team.write("model.json", backwards(good).decode())
    team.commit("Train a worse model")
    team.run("register", MODEL, "--version", "v1.1.0", "--push")
    bumped = team.run("bump", "dev", MODEL, "v1.1.0", "--image", second, "--push")
    assert bumped.code == 0, bumped.err
    comment = team.run("plan", "dev", "-o", "markdown", "--base", "HEAD~1")
    assert re.search(r"answers? flip|become wrong", comment.out), f"{comment.out}{comment.err}"
    team.sync(expect=3)
    assert score(team) == answer
    attempts = {attempt["version"]: attempt for attempt in team.record(deployment=MODEL)["attempts"]}
    assert attempts["v1.1.0"]["verdict"] == "Failed"
    assert "holdout roc_auc" in [c["name"] for c in attempts["v1.1.0"]["checks"] if c["result"] == "fail"]
    reverted = team.declared(deployment=MODEL)
    assert (reverted["version"], reverted["serve"]["image"]) == ("v1.0.0", first)
