"""A full disk of the engine, and a full volume of the gateway: what serves keeps serving."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, ensure_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE, gateway_name
from gitops_ml.core.generation import owner_labels
from gitops_ml.serving.building.requirements import read_lock, with_server
from tests.e2e.host import Host
from tests.e2e.workshop import MODEL, ROOT, Workshop

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
def small_engine(tmp_path: Path, engine: docker.DockerClient) -> Iterator[Path]:
    """The socket of a second engine on a small disk, with the images that a first version needs."""
    if not shutil.which("dockerd"):
        pytest.skip("a second engine needs dockerd")
    root = tmp_path / "root"
    # A socket's path has at most 107 characters; the folder of a test has more when tests run in parallel.
    folder = Path(tempfile.mkdtemp(prefix="gitops-ml-"))
    with contextlib.ExitStack() as undo:
        undo.callback(shutil.rmtree, folder, ignore_errors=True)
        undo.enter_context(_small_disk(root, ROOM))
        daemon, second = _started(folder, root)
        undo.callback(daemon.wait, timeout=60)
        undo.callback(daemon.terminate)
        requirements = with_server(read_lock((ROOT / "requirements" / "serving.txt").read_bytes()))
        with Engine.connect(None) as connected:
            runtime, _ = ensure_runtime(connected, requirements)
        _copy_images(engine, second, [BASE_IMAGE, GATEWAY_IMAGE, runtime])
        yield folder / "docker.sock"


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


def _started(folder: Path, root: Path) -> tuple[subprocess.Popen[bytes], docker.DockerClient]:
    """A second engine that answers at `docker.sock` in `folder`, with its data in `root`."""
    address, log = f"unix://{folder / 'docker.sock'}", folder / "log"
    places = [f"--data-root={root}", f"--exec-root={folder / 'exec'}", f"--pidfile={folder / 'pid'}"]
    with log.open("wb") as out:
        # In a network namespace of its own, since two engines in one undo each other's firewall rules.
        command = ["unshare", "--net", "dockerd", "--host", address, *places, "--bridge=none"]
        daemon = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    while daemon.poll() is None:
        try:  # it makes its socket long before it answers
            return daemon, docker.DockerClient(address)
        except docker.errors.DockerException:
            time.sleep(0.1)
    pytest.fail(f"the second engine does not start: {log.read_text()[-2000:]}")


def _copy_images(engine: docker.DockerClient, second: docker.DockerClient, names: list[str]) -> None:
    for name in names:
        second.images.load(b"".join(engine.images.get(name).save(named=name)))
    second.close()


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
