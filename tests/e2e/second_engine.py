"""A second engine on this machine, with the images that a first version needs, and small disks."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, ensure_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.serving.building.requirements import read_lock, with_server
from tests.e2e.workshop import ROOT


@dataclass
class SecondEngine:
    """An engine that answers at `docker.sock` in `folder`, with its data in `root`."""

    folder: Path
    root: Path
    daemon: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'docker.sock'}"

    def start(self) -> None:
        log = self.folder / "log"
        places = [f"--data-root={self.root}", f"--exec-root={self.folder / 'exec'}", f"--pidfile={self.folder / 'pid'}"]
        with log.open("wb") as out:
            # In a network namespace of its own, since two engines in one undo each other's firewall rules.
            command = ["unshare", "--net", "dockerd", "--host", self.url, *places, "--bridge=none"]
            self.daemon = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
        while self.daemon.poll() is None:
            try:  # it makes its socket long before it answers
                return docker.DockerClient(self.url).close()
            except docker.errors.DockerException:
                time.sleep(0.1)
        pytest.fail(f"the second engine does not start: {log.read_text()[-2000:]}")

    def stop(self) -> None:
        assert self.daemon is not None
        self.daemon.terminate()
        self.daemon.wait(timeout=60)

    def copy_images(self, engine: docker.DockerClient) -> None:
        requirements = with_server(read_lock((ROOT / "requirements" / "serving.txt").read_bytes()))
        with Engine.connect(None) as connected:
            runtime, _ = ensure_runtime(connected, requirements)
        second = docker.DockerClient(self.url)
        for name in (BASE_IMAGE, GATEWAY_IMAGE, runtime):
            second.images.load(b"".join(engine.images.get(name).save(named=name)))
        second.close()


@contextlib.contextmanager
def second_engine(engine: docker.DockerClient, root: Path) -> Iterator[SecondEngine]:
    """Run a second engine with its data in `root`, and the images copied from the first."""
    if os.geteuid() or not shutil.which("dockerd"):
        pytest.skip("a second engine needs root and dockerd")
    # A socket's path has at most 107 characters; the folder of a test has more when tests run in parallel.
    folder = Path(tempfile.mkdtemp(prefix="gitops-ml-"))
    second = SecondEngine(folder, root)
    try:
        second.start()
        try:
            second.copy_images(engine)
            yield second
        finally:
            second.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
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
