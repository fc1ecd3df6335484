"""Further engines on this machine, each with its own disk and in a network namespace of its own."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import docker
import pytest

# Two engines in one network namespace undo each other's firewall rules.
OWN_NAMESPACE = ("unshare", "--net")


def start_engine(
    folder: Path, root: Path, *flags: str, inside: Sequence[str] = OWN_NAMESPACE
) -> tuple[subprocess.Popen[bytes], docker.DockerClient]:
    """Start an engine and wait until it answers at `docker.sock` in `folder`, with its data in `root`.

    A socket's path has at most 107 characters, so `folder` must have a short one.
    """
    address, log = f"unix://{folder / 'docker.sock'}", folder / "log"
    places = [f"--data-root={root}", f"--exec-root={folder / 'exec'}", f"--pidfile={folder / 'pid'}"]
    with log.open("wb") as out:
        command = [*inside, "dockerd", "--host", address, *places, *flags]
        daemon = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    while daemon.poll() is None:
        try:  # it makes its socket long before it answers
            return daemon, docker.DockerClient(address)
        except docker.errors.DockerException:
            time.sleep(0.1)
    pytest.fail(f"another engine does not start: {log.read_text()[-2000:]}")


def copy_images(engine: docker.DockerClient, other: docker.DockerClient, names: Iterable[str]) -> None:
    """Copy images from one engine to another."""
    for name in names:
        other.images.load(b"".join(engine.images.get(name).save(named=name)))
