"""A model as data: applications load it while they run, through the gateway, from containers."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from gitops_ml.core.operator_settings import SIGNING_KEY
from gitops_ml.subscriber import Subscriber, Trust, slot_of
from tests.e2e.workshop import HOLDOUT, MODEL, Workshop, scratch_workshop
from tests.serving.signing import project_key

PUBLISH: dict[str, Any] = {"serve": {"pattern": "publish"}, "env": {"GITOPS_ML_POLL_SECONDS": "1"}}


@pytest.fixture(scope="module")
def publishing(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A workshop whose dev publishes v1.0.0, signed with the key `project` beside the clone."""
    folder = tmp_path_factory.mktemp("publish")
    project_key(folder)
    with pytest.MonkeyPatch.context() as patch, scratch_workshop(engine, folder, "publish") as workshop:
        patch.setenv(SIGNING_KEY, str(folder / "project"))
        workshop.environment(drain="3s")
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0", **PUBLISH)
        workshop.sync()
        yield workshop


@pytest.fixture
def follow(publishing: Workshop, tmp_path: Path) -> Iterator[Callable[[str], Subscriber[str]]]:
    """Starts subscribers that follow the channel; their model is the version that the model's file names."""
    followers: list[Subscriber[str]] = []

    def follow(name: str) -> Subscriber[str]:
        signed = Trust(f"{publishing.project}/dev/{MODEL}", publishing.folder.parent / "allowed_signers")
        followers.append(Subscriber(channel(publishing), tmp_path / name, version_in, name=name, trust=signed))
        followers[-1].start()
        return followers[-1]

    yield follow
    for follower in followers:
        follower.close()


def channel(workshop: Workshop) -> str:
    return f"http://127.0.0.1:{workshop.ports['dev']}/{MODEL}/channel"


def version_in(folder: Path) -> str:
    behaviour = json.loads((folder / "behaviour.json").read_text())
    if behaviour.get("unloadable"):
        raise ValueError("an unknown type")
    return str(behaviour["version"])


def await_true(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def runs(follower: Subscriber[str]) -> str:
    return follower.current.model if follower.current else ""


def subscribers(workshop: Workshop) -> dict[str, Any]:
    """The subscribers that `status` shows, by name."""
    document = json.loads(workshop.run("status", "dev", "-o", "json").out)
    return {each["subscriber"]: each for each in document["environments"][0]["subscribers"]}


def test_a_version_reaches_the_applications_and_a_worse_one_does_not(
    publishing: Workshop, follow: Callable[[str], Subscriber[str]], engine: docker.DockerClient
) -> None:
    subscriber = follow("scorer-1")
    await_true(lambda: runs(subscriber) == "v1.0.0")
    assert publishing.status()["endpoint"] == channel(publishing)
    publishing.release("v2.0.0")
    publishing.declare("v2.0.0", verify=HOLDOUT, **PUBLISH)
    publishing.sync()
    await_true(lambda: runs(subscriber) == "v2.0.0")
    await_true(lambda: subscribers(publishing).get("scorer-1", {}).get("version") == "v2.0.0")
    assert subscribers(publishing)["scorer-1"]["generation"] == publishing.status()["generation"]
    publishing.release("v3.0.0", noise=20)
    publishing.declare("v3.0.0", verify=HOLDOUT, **PUBLISH)
    publishing.sync(expect=3)
    assert publishing.declared()["version"] == "v2.0.0", "the revert is in Git"
    assert runs(subscriber) == "v2.0.0"
    shown = publishing.run("status", "dev").out
    assert "scorer-1" in shown and "v2.0.0" in shown
    key = publishing.folder.parent / "project"
    for container in engine.containers.list(all=True, filters={"label": f"gitops-ml.project={publishing.project}"}):
        for secret in (key.read_text().splitlines()[1], str(key)):
            assert secret not in str(container.attrs), f"{container.name} got the key that signs"


def test_a_canary_reaches_its_share_first_and_ends_where_they_cannot_load_it(
    publishing: Workshop, follow: Callable[[str], Subscriber[str]]
) -> None:
    names = [f"scorer-{number}" for number in range(100)]
    first, second = follow(min(names, key=slot_of)), follow(max(names, key=slot_of))
    before = publishing.declared()["version"]
    await_true(lambda: runs(first) == runs(second) == before)
    canary = PUBLISH | {"rollout": {"strategy": "canary", "steps": [50]}}
    publishing.release("v4.0.0")
    publishing.declare("v4.0.0", **canary)
    publishing.sync()
    await_true(lambda: runs(second) == "v4.0.0")
    assert first.current and second.current and first.current.since < second.current.since
    publishing.release("v5.0.0", unloadable=True)
    publishing.declare("v5.0.0", **canary)
    publishing.sync(expect=3)
    assert runs(first) == runs(second) == "v4.0.0"
    assert publishing.declared()["version"] == "v4.0.0", "the revert is in Git"
    reasons = [check["reason"] for check in publishing.record()["attempts"][0]["checks"]]
    assert any(f"{first.name}: ValueError: an unknown type" in reason for reason in reasons), reasons
