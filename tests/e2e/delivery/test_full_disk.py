"""A full disk: on a second engine with a small disk, what serves keeps serving."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, ensure_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.serving.building.requirements import read_lock, with_server
from tests.e2e.engines import copy_images, start_engine
from tests.e2e.host import Host
from tests.e2e.workshop import MODEL, ROOT, Workshop

ROOM, LEFT = 3 * 1024**3, 12 * 1024**2  # bytes: of the second engine's disk, and when it is about to be full


def _resize(root: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(root)], check=True)


@pytest.fixture
def small_engine(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Path]:
    """The socket of a second engine on a small disk, with the images that a first version needs."""
    if os.geteuid() or not shutil.which("dockerd"):
        pytest.skip("a second engine needs root and dockerd")
    root = tmp_path / "root"
    root.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(root)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    # A socket's path has at most 107 characters; the folder of a test has more when tests run in parallel.
    folder = Path(tempfile.mkdtemp(prefix="gitops-ml-"))
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.callback(subprocess.run, ["umount", "-l", str(root)], check=True)
        daemon, second = start_engine(folder, root, "--bridge=none")
        undo.callback(daemon.wait, timeout=60)
        undo.callback(daemon.terminate)
        requirements = with_server(read_lock((ROOT / "requirements" / "serving.txt").read_bytes()))
        with Engine.connect(None) as connected:
            runtime, _ = ensure_runtime(connected, requirements)
        copy_images(engine, second, [BASE_IMAGE, GATEWAY_IMAGE, runtime])
        second.close()
        yield folder / "docker.sock"


def test_a_full_disk_during_a_build_is_reported_and_the_incumbent_serves(
    workshop: Workshop, small_engine: Path, tmp_path: Path
) -> None:
    # The loopback device of its namespace is down.
    gateway = {"bind": "0.0.0.0", "port": 8080, "drain": "1s"}
    workshop.environment(engine=f"unix://{small_engine}", gateway=gateway)
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0")
    workshop.sync()
    (workshop.folder / f"models/{MODEL}/weights.bin").write_bytes(os.urandom(24 * 1024**2))
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0")
    root = tmp_path / "root"
    _resize(root, shutil.disk_usage(root).used + LEFT)
    client = docker.DockerClient(f"unix://{small_engine}")
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
