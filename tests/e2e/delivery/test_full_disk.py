"""A full disk: on a second engine with a small disk, what serves keeps serving."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from tests.e2e.host import Host
from tests.e2e.second_engine import SecondEngine, second_engine
from tests.e2e.workshop import MODEL, Workshop

ROOM, LEFT = 3 * 1024**3, 12 * 1024**2  # bytes: of the second engine's disk, and when it is about to be full


def _resize(root: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(root)], check=True)


@pytest.fixture
def small_engine(tmp_path: Path, engine: docker.DockerClient) -> Iterator[SecondEngine]:
    """A second engine on a small disk."""
    root = tmp_path / "root"
    root.mkdir()
    if os.geteuid():
        pytest.skip("a small disk needs root")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(root)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    try:
        with second_engine(engine, root) as second:
            yield second
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


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
