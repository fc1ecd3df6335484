"""A second engine on this machine: its disk is full, it is one host of two, and it is reached by TCP with TLS."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from gitops_ml.core.declaration.hosts import host_name
from tests.e2e.host import Host
from tests.e2e.second_engine import SecondEngine, make_certificates, second_engine, small_disk
from tests.e2e.workshop import HOLDOUT, MODEL, Workshop
from tests.ports import free_port

ROOM, LEFT = 3 * 1024**3, 12 * 1024**2  # bytes: of the second engine's disk, and when it is about to be full
FIRST = "unix:///var/run/docker.sock"
GATEWAY: dict[str, Any] = {"bind": "0.0.0.0", "port": 8080, "drain": "1s"}
"""The loopback device of the second engine's namespace is down."""


def _resize(root: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(root)], check=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the second engine's certificates."""
    return tmp_path_factory.mktemp("tls") / "certificates"


@pytest.fixture(scope="module")
def second(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.DockerClient, certificates: Path
) -> Iterator[SecondEngine]:
    """A second engine on a small disk."""
    root = tmp_path_factory.mktemp("engine") / "root"
    with small_disk(root, ROOM), second_engine(engine, root, certificates) as made:
        yield made


def test_an_engine_on_tcp_is_used_with_its_certificates_alone(
    workshop: Workshop, second: SecondEngine, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_certificates(tmp_path / "others")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "others/ca.pem"))  # as behind a company's proxy
    workshop.environment(engine=second.tcp_url, gateway=GATEWAY | {"port": free_port()})
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", verify=HOLDOUT)

    for folder, ca in ((certificates, tmp_path / "others"), (tmp_path / "others", certificates)):
        mixed = tmp_path / f"certificate-of-{folder.name}"
        shutil.copytree(folder, mixed)
        shutil.copy(ca / "ca.pem", mixed / "ca.pem")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(mixed))
        ran = workshop.run("plan", "dev")
        assert ran.code == 1
        ran.require_clear()
        assert f"the Docker engine at {second.tcp_url} does not answer" in ran.err
        assert "one side does not trust the other's certificate: " in ran.err

    monkeypatch.setenv("DOCKER_CERT_PATH", str(certificates))
    assert workshop.run("plan", "dev").code == 2
    workshop.sync()
    ran = workshop.run("verify", "dev")
    assert ran.code == 0, ran.err
    assert (workshop.status()["sync"], workshop.status()["verification"]) == ("Synced", "Verified")
    client = docker.DockerClient(second.url)
    host = Host(client, workshop.project)
    assert '"v1.0.0"' in host.in_gateway(f"wget -q -O - http://127.0.0.1:8080/v2/models/{MODEL}")
    client.close()


def test_a_full_disk_during_a_build_is_reported_and_the_incumbent_serves(
    workshop: Workshop, second: SecondEngine
) -> None:
    workshop.environment(engine=second.url, gateway=GATEWAY)
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    (workshop.folder / f"models/{MODEL}/weights.bin").write_bytes(os.urandom(24 * 1024**2))
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0")
    _resize(second.root, shutil.disk_usage(second.root).used + LEFT)
    client = docker.DockerClient(second.url)
    host = Host(client, workshop.project)
    before = host.objects()
    ran = workshop.sync(expect=1)
    ran.require_clear()
    assert "the engine's disk is full" in ran.err
    assert host.objects() == before
    told = workshop.run("status", "dev")
    assert f"dev/{MODEL}: last error, of " in told.err and "the engine's disk is full" in told.err
    assert '"v1.0.0"' in host.in_gateway(f"wget -q -O - http://127.0.0.1:8080/v2/models/{MODEL}")
    _resize(second.root, ROOM)
    workshop.sync()
    assert workshop.status()["error"] is None
    assert '"v1.1.0"' in host.in_gateway(f"wget -q -O - http://127.0.0.1:8080/v2/models/{MODEL}")
    client.close()


def versions(workshop: Workshop) -> dict[str, tuple[str, str]]:
    """Version and verification by host, of the hosts that answer."""
    listed = json.loads(workshop.run("status", "dev", "-o", "json").out)["environments"]
    deployments = {each["host"]: each["deployments"][0] for each in listed}
    return {host: (str(d["version"]), str(d["verification"])) for host, d in deployments.items()}


def test_a_version_goes_from_host_to_host(workshop: Workshop, second: SecondEngine) -> None:
    near, far = host_name(FIRST), host_name(second.url)
    gateway = GATEWAY | {"port": free_port()}
    workshop.environment(engine=None, engines=[FIRST, second.url], gateway=gateway)
    workshop.ports["dev"] = gateway["port"]
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
