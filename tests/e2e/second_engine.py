"""A second engine on this machine, with the images that a first version needs, and small disks."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
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
    """An engine that answers at `docker.sock` in `folder`, with its data in `root`, in a network namespace of its own.

    Two engines in one namespace would undo each other's firewall rules.
    """

    folder: Path
    root: Path
    inside: Sequence[str] = ("unshare", "--net")
    flags: Sequence[str] = ("--bridge=none",)
    listener: socket.socket | None = None
    """A socket of this machine's namespace, at which the engine answers too."""
    daemon: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.folder / 'docker.sock'}"

    @property
    def tcp_url(self) -> str:
        assert self.listener is not None
        return f"tcp://127.0.0.1:{self.listener.getsockname()[1]}"

    def start(self) -> None:
        log = self.folder / "log"
        places = [f"--data-root={self.root}", f"--exec-root={self.folder / 'exec'}", f"--pidfile={self.folder / 'pid'}"]
        command = [*self.inside, "dockerd", "--host", self.url, *places, *self.flags]
        if self.listener:  # as systemd hands a socket over: file 3, for the process that these variables name
            script = 'LISTEN_FDS=1 LISTEN_PID=$$ exec "$@" 3<&0 </dev/null'
            command = ["sh", "-c", script, "sh", *command, "--host=fd://"]
        given = self.listener.fileno() if self.listener else subprocess.DEVNULL
        with log.open("wb") as out:
            self.daemon = subprocess.Popen(command, stdin=given, stdout=out, stderr=out, start_new_session=True)
        while self.daemon.poll() is None:
            try:  # it makes its socket long before it answers
                return docker.DockerClient(self.url).close()
            except docker.errors.DockerException:
                time.sleep(0.1)
        pytest.fail(f"another engine does not start: {log.read_text()[-2000:]}")

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


def make_certificates(folder: Path) -> None:
    """Make what Docker's own names are for: `ca.pem`, and `cert.pem` with `key.pem`, for 127.0.0.1 and its clients."""
    folder.mkdir()
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    authority = ["-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial"]
    (folder / "extensions").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    for command in (
        ["req", "-x509", *key, "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem"],
        ["req", *key, "-subj", "/CN=engine", "-keyout", "key.pem", "-out", "request.pem"],
        ["x509", "-req", "-in", "request.pem", *authority, "-days", "1", "-extfile", "extensions", "-out", "cert.pem"],
    ):
        subprocess.run(["openssl", *command], cwd=folder, check=True, capture_output=True)


@contextlib.contextmanager
def second_engine(engine: docker.DockerClient, root: Path, certificates: Path) -> Iterator[SecondEngine]:
    """Run a second engine with its data in `root`, and the images copied from the first.

    It answers at `tcp_url` with the certificates of a folder, to clients that have one of the same authority.
    """
    if os.geteuid() or not shutil.which("dockerd"):
        pytest.skip("a second engine needs root and dockerd")
    # A socket's path has at most 107 characters; the folder of a test has more when tests run in parallel.
    folder = Path(tempfile.mkdtemp(prefix="gitops-ml-"))
    make_certificates(certificates)
    files = [f"--tls{kind}={certificates / kind}.pem" for kind in ("cert", "key")]
    flags = ("--bridge=none", "--tlsverify", f"--tlscacert={certificates}/ca.pem", *files)
    try:
        second = SecondEngine(folder, root, flags=flags, listener=socket.create_server(("127.0.0.1", 0)))
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
