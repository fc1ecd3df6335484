"""Foreign objects are never touched: by a sync, healing, pruning or removal, whatever their names."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import docker
import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from tests.conftest import remove_project
from tests.e2e.host import Host
from tests.e2e.workshop import MODEL, Workshop, serving_v1


@dataclass
class Strangers:
    """A container, a network and a volume without our labels, but with names like ours."""

    engine: docker.DockerClient
    stem: str

    @property
    def names(self) -> tuple[str, str, str]:
        return f"{self.stem}.dev.{MODEL}.extra", f"{self.stem}.dev.extra", f"{self.stem}.dev.extra-volume"

    def make(self) -> None:
        container, network, volume = self.names
        self.engine.api.create_network(network, driver="bridge")
        self.engine.api.create_volume(volume)
        made = self.engine.api.create_container(BASE_IMAGE, ["sleep", "600"], name=container)
        self.engine.api.connect_container_to_network(made["Id"], network)
        self.engine.api.start(made["Id"])

    def look(self) -> tuple[str, ...]:
        container, network, volume = self.names
        found = self.engine.api.inspect_container(container)
        joined = sorted(self.engine.api.inspect_network(network)["Containers"])
        made = self.engine.api.inspect_volume(volume)["CreatedAt"]
        return found["Id"], found["State"]["Status"], found["State"]["StartedAt"], *joined, made

    def remove(self) -> None:
        container, network, volume = self.names
        with contextlib.suppress(docker.errors.NotFound):
            self.engine.api.remove_container(container, force=True)
        with contextlib.suppress(docker.errors.NotFound):
            self.engine.api.remove_network(network)
        with contextlib.suppress(docker.errors.NotFound):
            self.engine.api.remove_volume(volume)


@pytest.fixture
def neighbour(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """Another project of gitops-ml that serves on the same engine."""
    with serving_v1(engine, tmp_path_factory.mktemp("neighbour"), "neighbour") as theirs:
        yield theirs


def test_foreign_objects_and_other_projects_are_never_touched(
    engine: docker.DockerClient, workshop: Workshop, neighbour: Workshop
) -> None:
    unknown_containers = Strangers(engine, workshop.project)
    unknown_containers.make()
    host, theirs = Host(engine, workshop.project), Host(engine, neighbour.project)
    try:
        before = unknown_containers.look(), theirs.objects()
        workshop.environment(drain="1s")
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0")
        workshop.declare("v1.0.0", deployment="second")
        workshop.sync()
        host.api.kill(host.replicas(MODEL)[0]["Id"])
        host.api.remove_container(host.gateway()["Id"], force=True)
        workshop.sync()
        workshop.pull()
        workshop.git("rm", "-rq", "environments/dev/models")
        workshop.commit("Withdraw both")
        workshop.sync("dev", "--confirm-removals")
        assert host.replicas() == []
        assert (unknown_containers.look(), theirs.objects()) == before
        assert neighbour.serving() == "v1.0.0"
    finally:
        unknown_containers.remove()


def shell(command: str) -> str:
    """Run a command as it was printed. Returns its output."""
    return subprocess.run(command, shell=True, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("kind", ["network", "volume"])
def test_an_object_with_our_name_but_without_our_label_is_refused_and_left_alone(
    engine: docker.DockerClient, workshop: Workshop, kind: str
) -> None:
    name = f"{workshop.project}.dev" if kind == "network" else f"{workshop.project}.dev.gateway"
    make = engine.api.create_network if kind == "network" else engine.api.create_volume
    made = make(name)
    try:
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0")
        ran = workshop.sync(expect=1)
        assert f"the {kind} {name} exists and is not ours" in ran.err
        look, remove = ran.err.split("fix: `")[1].split("` shows whose it is; rename the project, or `")
        assert json.loads(shell(look))[0]["Name"] == name
        assert Host(engine, workshop.project).objects() == {}
        inspect = engine.api.inspect_network if kind == "network" else engine.api.inspect_volume
        same = "Id" if kind == "network" else "CreatedAt"
        assert inspect(name)[same] == made[same]
        shell(remove.split("`")[0])
        with pytest.raises(docker.errors.NotFound):
            inspect(name)
    finally:
        remove_project(engine, workshop.project)
        with contextlib.suppress(docker.errors.NotFound):
            getattr(engine.api, f"remove_{kind}")(name)


def test_a_container_with_the_gateways_name_is_refused_and_left_alone(
    engine: docker.DockerClient, workshop: Workshop
) -> None:
    name = f"{workshop.project}.dev.gateway"
    made = engine.api.create_container(BASE_IMAGE, ["sleep", "600"], name=name)
    try:
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0")
        ran = workshop.sync(expect=1)
        assert f"a container named {name} exists already" in ran.err
        assert json.loads(shell(ran.err.split("fix: ")[1].splitlines()[0]))[0]["Id"] == made["Id"]
        assert Host(engine, workshop.project).objects() == {}
        assert engine.api.inspect_container(name)["Id"] == made["Id"]
    finally:
        engine.api.remove_container(made["Id"], force=True)
