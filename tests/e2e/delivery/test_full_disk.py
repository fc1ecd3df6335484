"""A full disk of the engine, and a full volume of the gateway: what serves keeps serving."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from gitops_ml.clients.gateway.container import gateway_name
from gitops_ml.core.generation import owner_labels
from tests.e2e.host import Host
from tests.e2e.second_engine import SecondEngine, second_engine
from tests.e2e.workshop import MODEL, Workshop

ROOM, LEFT = 3 * 1024**3, 12 * 1024**2  # bytes: of the second engine's disk, and when it is about to be full
ROOM_OF_VOLUME = 128 * 1024


def _resize(root: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(root)], check=True)


@contextlib.contextmanager
def _small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a disk of `size` bytes at a folder. Skips the test where that is not allowed."""
    if os.geteuid():
        pytest.skip("a small disk needs root")
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def small_engine(tmp_path: Path, engine: docker.DockerClient) -> Iterator[SecondEngine]:
    """A second engine on a small disk."""
    root = tmp_path / "root"
    with _small_disk(root, ROOM), second_engine(engine, root) as second:
        yield second


@pytest.fixture
def small_volume(workshop: Workshop, tmp_path: Path, engine: docker.DockerClient) -> Iterator[Path]:
    """The folder of a small disk that is the gateway's volume."""
    folder = tmp_path / "volume"
    with _small_disk(folder, ROOM_OF_VOLUME):
        engine.api.create_volume(
            gateway_name(workshop.project, "dev"),
            driver="local",
            driver_opts={"type": "none", "o": "bind", "device": str(folder)},
            labels=owner_labels(workshop.project, "dev", "volume"),
        )
        yield folder


def test_a_full_disk_during_a_build_is_reported_and_the_incumbent_serves(
    workshop: Workshop, small_engine: SecondEngine, tmp_path: Path
) -> None:
    # The loopback device of its namespace is down.
    gateway = {"bind": "0.0.0.0", "port": 8080, "drain": "1s"}
    workshop.environment(engine=small_engine.url, gateway=gateway)
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    (workshop.folder / f"models/{MODEL}/weights.bin").write_bytes(os.urandom(24 * 1024**2))
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0")
    root = tmp_path / "root"
    _resize(root, shutil.disk_usage(root).used + LEFT)
    client = docker.DockerClient(small_engine.url)
    host = Host(client, workshop.project)
    before = host.objects()
    ran = workshop.sync(expect=1)
    ran.require_clear()
    assert "the engine's disk is full" in ran.err
    assert host.objects() == before
    told = workshop.run("status", "dev")
    assert f"dev/{MODEL}: last error, of " in told.err and "the engine's disk is full" in told.err
    assert '"v1.0.0"' in host.in_gateway(f"wget -q -O - http://127.0.0.1:8080/v2/models/{MODEL}")
    _resize(root, ROOM)
    workshop.sync()
    assert workshop.status()["error"] is None
    assert '"v1.1.0"' in host.in_gateway(f"wget -q -O - http://127.0.0.1:8080/v2/models/{MODEL}")
    client.close()


def test_a_full_volume_of_the_gateway_is_reported_and_no_entry_of_the_journal_is_lost(
    workshop: Workshop, engine: docker.DockerClient, small_volume: Path
) -> None:
    host = Host(engine, workshop.project)
    workshop.environment(drain="1s")
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    filler = small_volume / "filler"
    with contextlib.suppress(OSError):
        filler.write_bytes(bytes(ROOM_OF_VOLUME))
    before = host.objects()
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0")
    ran = workshop.sync(expect=1)
    ran.require_clear()
    assert "the engine's disk is full (writing the journal)" in ran.err
    assert host.objects() == before
    assert workshop.serving() == "v1.0.0"
    filler.unlink()
    workshop.sync()
    assert workshop.serving() == "v1.1.0"
    assert [attempt["version"] for attempt in workshop.record()["attempts"]] == ["v1.1.0", "v1.0.0"]
