"""An environment on two real engines: what each serves when a version fails, and when one of them is away."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from gitops_ml.core.declaration.hosts import host_name
from tests.e2e.host import Host
from tests.e2e.second_engine import SecondEngine, second_engine
from tests.e2e.workshop import MODEL, Workshop

FIRST = "unix:///var/run/docker.sock"


@pytest.fixture
def second(tmp_path: Path, engine: docker.DockerClient) -> Iterator[SecondEngine]:
    root = tmp_path / "root"
    root.mkdir()
    with second_engine(engine, root) as made:
        yield made


def versions(workshop: Workshop) -> dict[str, tuple[str, str]]:
    """Version and verification by host, of the hosts that answer."""
    listed = json.loads(workshop.run("status", "dev", "-o", "json").out)["environments"]
    deployments = {each["host"]: each["deployments"][0] for each in listed}
    return {host: (str(d["version"]), str(d["verification"])) for host, d in deployments.items()}


def test_a_version_goes_from_host_to_host(workshop: Workshop, second: SecondEngine) -> None:
    near, far = host_name(FIRST), host_name(second.url)
    workshop.environment(engine=None, engines=[FIRST, second.url])
    # The loopback device of the second engine's namespace is down.
    gateway = {"bind": "0.0.0.0", "port": workshop.ports["dev"], "drain": "1s"}
    workshop.environment(engine=None, engines=[FIRST, second.url], gateway=gateway)
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    assert versions(workshop) == {near: ("v1.0.0", "Verified"), far: ("v1.0.0", "Verified")}

    workshop.release("v1.1.0", crash="no such column")
    workshop.declare("v1.1.0")
    workshop.sync(expect=3)
    assert versions(workshop) == {near: ("v1.0.0", "Verified"), far: ("v1.0.0", "Verified")}
    workshop.pull()
    records = {name: workshop.folder / f"environments/dev/records/{name}/{MODEL}.yaml" for name in (near, far)}
    assert {name: path.read_text().count("version: v1.1.0") for name, path in records.items()} == {near: 1, far: 0}

    second.stop()
    workshop.release("v1.2.0")
    workshop.declare("v1.2.0")
    ran = workshop.sync(expect=1)
    ran.require_clear()
    assert versions(workshop) == {near: ("v1.2.0", "Verified")} and workshop.serving() == "v1.2.0"
    second.start()
    workshop.sync()
    assert versions(workshop) == {near: ("v1.2.0", "Verified"), far: ("v1.2.0", "Verified")}
    client = docker.DockerClient(second.url)
    host = Host(client, workshop.project)
    assert '"v1.2.0"' in host.in_gateway(f"wget -q -O - http://127.0.0.1:8080/v2/models/{MODEL}")
    client.close()
