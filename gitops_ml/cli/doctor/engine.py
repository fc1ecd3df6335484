"""The checks of `doctor` that ask the engines.

An engine's API does not tell whether containers start, whether the gateway's port is free on the host, or how much room
its disk has. A short-lived container that publishes the port tells all three, also on a remote host.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from gitops_ml.cli.doctor.findings import Finding, missing, note, ok
from gitops_ml.clients.engine.building.base_images import GATEWAY, PYTHON, BaseImage
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ContainerSpec, owner_labels, scoped
from gitops_ml.errors import EngineFailed, GitopsError

_OLDEST_ENGINE = (20, 10)
_LITTLE_ROOM, _TOO_LITTLE_ROOM = 5 * 1024**3, 1024**3
"""Bytes. A runtime image takes about 500 MB, and twice that while it is built."""
_SKEW = 30.0
"""Seconds between the engine's clock and ours from which on it is worth a note."""
_PRINT_FREE_BYTES = "import os; s = os.statvfs('/'); print(s.f_bavail * s.f_frsize)"


def engines(repo: Repository, declared: list[EnvironmentFiles]) -> Iterator[Finding]:
    """Check each engine once, and on it each of its environments."""
    by_url: dict[str | None, list[EnvironmentFiles]] = {}
    for files in (host for environment in declared for host in environment.on_each_host()):
        if files.engine is None and files.name != "dev":
            yield missing(
                files.name,
                "environment.yaml names no engine, which only dev may leave out",
                "add `engine: unix:///var/run/docker.sock`, or ssh://user@host",
            )
        else:
            by_url.setdefault(files.engine, []).append(files)
    seen: set[str] = set()
    for url, environments in by_url.items():
        yield from _engine(repo, url, environments, seen)


def _engine(
    repo: Repository, url: str | None, environments: list[EnvironmentFiles], seen: set[str]
) -> Iterator[Finding]:
    what = "engine " + ", ".join(files.full_name for files in environments)
    try:
        with Engine.connect(url, timeout=20.0) as engine:
            before = datetime.now(UTC)
            info = engine.info()
            skew = info.now - before - (datetime.now(UTC) - before) / 2
            image = engine.image_id(PYTHON.name)
            yield _version(what, engine.url, info.version)
            if info.id not in seen:
                yield _clock(skew)
                yield _image("base image", PYTHON, image)
                yield _image("gateway image", GATEWAY, engine.image_id(GATEWAY.name))
                seen.add(info.id)
            for files in environments:
                yield from _records(repo, files, info.id)
                yield from _host(engine, files, image)
    except GitopsError as error:
        yield missing(what, error)


def _version(what: str, url: str, version: str) -> Finding:
    match = re.match(r"(\d+)\.(\d+)", version)
    if match and (int(match[1]), int(match[2])) < _OLDEST_ENGINE:
        return missing(what, f"{version} at {url}; 20.10 or newer is needed", "upgrade Docker on that host")
    return ok(what, f"Docker {version} at {url}")


def _clock(skew: timedelta) -> Finding:
    seconds = skew.total_seconds()
    message = f"the engine's is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} ours"
    if abs(seconds) > _SKEW:
        return note(
            "clock", message, "set both by NTP: the engine's decides on soaks, holds and locks, ours dates commits"
        )
    return ok("clock", message)


def _image(what: str, base: BaseImage, image_id: str | None) -> Finding:
    if image_id:
        return ok(what, f"{base.official} is {image_id.removeprefix('sha256:')[:12]}")
    return missing(
        what,
        f"{base.official} is not on the engine",
        "`gitops-ml sync` pulls it where that host reaches its registry; else, in a clone of gitops-ml: make setup",
    )


def _records(repo: Repository, files: EnvironmentFiles, engine: str) -> Iterator[Finding]:
    others = sorted({r.engine for r in read_records(repo, files).values() if r.engine != engine})
    if others:
        yield missing(
            files.full_name,
            f"its records name the engine {others[0]}, and {engine} answers",
            f"gitops-ml sync {files.full_name} --rebind, if that is intended",
        )


def _host(engine: Engine, files: EnvironmentFiles, image: str | None) -> Iterator[Finding]:
    """Check the gateway's port, and the host behind it."""
    settings = files.environment.gateway
    what = f"{files.full_name} port {settings.port}"
    publishers = [c for c in engine.list_containers({}) if _publishes(c, settings.port)]
    for container in publishers:
        name = container["Names"][0].removeprefix("/")
        if container["Labels"].get(PROJECT) == files.project and container["Labels"].get(ENVIRONMENT) == files.name:
            yield ok(what, f"our gateway {name} listens at {settings.bind}")
        else:
            yield missing(what, f"the container {name} publishes it", _freeing_fix(files))
    if image is None:
        yield note(f"{files.full_name} host", "not checked: the base image is needed for that")
        return
    ports = {} if publishers else {8080: (settings.bind, settings.port)}
    try:
        room = _free_bytes(engine, files, image, ports)
    except GitopsError as error:
        yield missing(what if "port" in error.what else f"{files.full_name} host", error)
        return
    if ports:
        yield ok(what, f"free at {settings.bind}")
    yield _room(f"{files.full_name} host", room)


def _publishes(container: dict[str, Any], port: int) -> bool:
    return any(binding.get("PublicPort") == port for binding in container.get("Ports") or ())


def _freeing_fix(files: EnvironmentFiles) -> str:
    return f"stop it, or change gateway.port in environments/{files.name}/environment.yaml"


def _free_bytes(engine: Engine, files: EnvironmentFiles, image: str, ports: dict[int, tuple[str, int]]) -> int:
    """Start a container that publishes `ports` and prints how many bytes of its disk are free, then remove it.

    Raises `EngineFailed` when the container does not run.
    """
    container = engine.create(
        ContainerSpec(
            name=scoped(files.project, files.name, "doctor", secrets.token_hex(4)),
            image=image,
            labels=owner_labels(files.project, files.name, "doctor"),
            network="bridge" if ports else None,
            command=("python", "-c", _PRINT_FREE_BYTES),
            ports=ports,
            memory=128 * 1024**2,
            pids=32,
            restart="no",
        )
    )
    try:
        engine.start(
            container, f"a container that publishes {files.environment.gateway.port}" if ports else "a container"
        )
        code = engine.wait(container, timeout=30.0)
        output = engine.logs(container).strip()
        if code != 0 or not output.isdigit():
            raise EngineFailed(
                "a container of the base image does not run", why=output[-200:] or f"exit {code}", fix="docker info"
            )
        return int(output)
    finally:
        engine.remove(container, force=True)


def _room(what: str, free: int) -> Finding:
    message = f"containers start; {free / 1024**3:.1f} GB of the disk are free"
    fix = "docker system df; docker image prune"
    if free < _TOO_LITTLE_ROOM:
        return missing(what, message, fix)
    return note(what, message, fix) if free < _LITTLE_ROOM else ok(what, message)
