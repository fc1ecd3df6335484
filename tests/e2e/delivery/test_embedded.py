"""A model inside a web shop: `examples/embed` on a real engine, with a client that never loses a request."""

from __future__ import annotations

import contextlib
import io
import json
import runpy
import shutil
import tarfile
import urllib.request
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import docker
import pytest
import skops.io
from packaging.requirements import Requirement
from sklearn.dummy import DummyClassifier

from gitops_ml.clients.engine.building.model_images import ensure_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.generation import PROJECT
from gitops_ml.serving.building.requirements import read_lock, with_server
from tests.e2e.steady_client import SteadyClient
from tests.e2e.workshop import ROOT, Workshop
from tests.ports import free_port

MODEL = "wines"


@pytest.fixture
def team(engine: docker.DockerClient, workshop: Workshop) -> Workshop:
    """The repository of the example, with its trained model and a first declaration."""
    shutil.copytree(ROOT / "examples" / "embed", workshop.folder, dirs_exist_ok=True)
    with contextlib.chdir(workshop.folder):
        runpy.run_path("train.py")
    written = (workshop.folder / "shop" / "Dockerfile").read_text().splitlines()
    lines = [f"FROM {_python_with_fastapi(engine, workshop.project)}", *written[3:]]
    workshop.write("shop/Dockerfile", "\n".join(lines) + "\n")
    workshop.ports["dev"] = free_port()
    workshop.environment(gateway={"port": workshop.ports["dev"], "drain": "1s"})
    workshop.commit("Train")
    workshop.run("register", MODEL, "--version", "v1.0.0", "--push")
    workshop.write(f"environments/dev/models/{MODEL}.yaml", (workshop.folder / f"{MODEL}.yaml").read_text())
    workshop.commit("Declare the shop")
    return workshop


def _python_with_fastapi(engine: docker.DockerClient, project: str) -> str:
    """The ID of an image with what the shop requires, made from what is installed here instead of from PyPI."""
    pins = read_lock((ROOT / "requirements" / "serving.txt").read_bytes())
    with Engine.connect(None) as connected:
        runtime, _ = ensure_runtime(connected, with_server(pins))
    site = Path("/opt/gitops-ml/venv/lib/python3.11/site-packages")
    dockerfile = f"FROM {runtime}\nCOPY packages {site}\n".encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(dockerfile)
        archive.addfile(entry, io.BytesIO(dockerfile))
        for name in _with_requirements("fastapi"):
            for file in distribution(name).files or ():
                if ".." not in file.parts and "__pycache__" not in file.parts:
                    archive.add(file.locate(), arcname=f"packages/{file}")
    context.seek(0)
    image, _ = engine.images.build(
        fileobj=context, custom_context=True, labels={PROJECT: project}, nocache=True, rm=True
    )
    return str(image.id)


def _with_requirements(name: str) -> set[str]:
    names: set[str] = set()
    pending = [name]
    while pending:
        name = pending.pop().lower()
        if name not in names:
            names.add(name)
            required = map(Requirement, distribution(name).requires or ())
            pending += [r.name for r in required if not r.marker or r.marker.evaluate({"extra": ""})]
    return names


def get(team: Workshop, path: str) -> str:
    """What the shop answers to a user, through the gateway."""
    with urllib.request.urlopen(f"http://127.0.0.1:{team.ports['dev']}/{MODEL}{path}", timeout=10) as answer:
        return str(answer.read().decode())


def bump(team: Workshop, version: str) -> None:
    """Release the model that is in the work tree, and declare it."""
    team.pull()
    team.commit(f"Train {version}")
    assert team.run("register", MODEL, "--version", version, "--push").code == 0
    bumped = team.run("bump", "dev", MODEL, version, "--push")
    assert bumped.code == 0, bumped.err


def change_shop(team: Workshop, old: str, new: str) -> None:
    """Change the application alone."""
    team.pull()
    shop = (team.folder / "shop" / "shop.py").read_text()
    assert old in shop
    team.write("shop/shop.py", shop.replace(old, new))
    team.commit(f"Write {new} in the shop")


def checks(team: Workshop) -> dict[str, str]:
    """The result of each check of the newest attempt, by name."""
    return {check["name"]: check["result"] for check in team.record(deployment=MODEL)["attempts"][0]["checks"]}


PASSED = dict.fromkeys(("ready", "smoke", "holdout accuracy"), "pass")


def test_model_and_application_change_apart_and_either_is_judged_reverted_and_rolled_back(team: Workshop) -> None:
    team.sync()
    assert checks(team) == PASSED
    assert json.loads(get(team, "/version"))["version"] == "v1.0.0"
    client = SteadyClient(team.ports["dev"], f"/{MODEL}/")
    client.start()

    change_shop(team, "<h1>Wines</h1>", "<h1>Our wines</h1>")
    team.sync()
    assert checks(team) == PASSED
    assert "Our wines" in get(team, "/")
    traced: dict[str, Any] = json.loads(team.run("trace", "dev", MODEL, "-o", "json").out)
    assert (traced["version"], traced["application"]["context"]) == ("v1.0.0", "shop")
    assert traced["application"]["changed"]["subject"].startswith("Write <h1>Our wines")

    skops.io.dump(
        DummyClassifier(strategy="constant", constant=0).fit([[0]] * 3, [0, 1, 2]), team.folder / "models/wines.skops"
    )
    bump(team, "v1.1.0")
    team.sync(expect=3)
    assert checks(team)["holdout accuracy"] == "fail"
    assert team.declared(deployment=MODEL)["version"] == "v1.0.0"

    with contextlib.chdir(team.folder):
        runpy.run_path("train.py")
    bump(team, "v1.2.0")
    team.sync()
    assert json.loads(get(team, "/version"))["version"] == "v1.2.0"

    team.pull()
    assert team.run("rollback", "dev", MODEL, "--push").code == 0
    team.sync()
    assert json.loads(get(team, "/version"))["version"] == "v1.0.0"
    client.end()
    assert client.requests > 50 and client.failures == []
