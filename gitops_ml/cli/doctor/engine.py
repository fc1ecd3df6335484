"""The half of `doctor` that asks the engines. What cannot be asked of an engine's API is tried in a container there.

A container that publishes the gateway's port says at once whether containers start, whether the port is free on that
host, wherever it is, and how much room its disk has.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from gitops_ml.cli.findings import Finding, missing, note, ok
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ContainerSpec, owner_labels, scoped
from gitops_ml.errors import EngineFailed, GitopsError

if TYPE_CHECKING:
    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.clients.files.environments import EnvironmentFiles
    from gitops_ml.clients.git.repository import Repository

_OLDEST_ENGINE = (20, 10)
_LITTLE_ROOM, _TOO_LITTLE_ROOM = 5 * 1024**3, 1024**3
"""A runtime image takes about 500 MB, and twice that while it is built."""
_SKEW = 30.0
_SAY_ROOM = "import os; s = os.statvfs('/'); print(s.f_bavail * s.f_frsize)"


def engines(repo: Repository, declared: list[EnvironmentFiles]) -> Iterator[Finding]:
    """Each engine once, and each environment on its own."""
    by_url: dict[str | None, list[EnvironmentFiles]] = {}
    for one in declared:
        if one.environment.engine is None and one.name != "dev":
            yield missing(
                one.name,
                "environment.yaml names no engine: outside dev it is never the caller's own",
                "add `engine: unix:///var/run/docker.sock`, or ssh://user@host",
            )
        else:
            by_url.setdefault(one.environment.engine, []).append(one)
    seen: set[str] = set()
    for url, environments in by_url.items():
        yield from _engine(repo, url, environments, seen)


def _engine(
    repo: Repository, url: str | None, environments: list[EnvironmentFiles], seen: set[str]
) -> Iterator[Finding]:
    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.clients.engine.model_images import BASE_IMAGE
    from gitops_ml.clients.gateway.container import GATEWAY_IMAGE

    what = "engine " + ", ".join(one.name for one in environments)
    try:
        with Engine.connect(url, timeout=20.0) as engine:
            before = datetime.now(UTC)
            info = engine.info()
            skew = info.now - before - (datetime.now(UTC) - before) / 2
            image = engine.image_id(BASE_IMAGE)
            yield _version(what, engine.url, info.version)
            if info.id not in seen:
                yield _clock(skew)
                yield _image("base image", BASE_IMAGE, image)
                yield _image("gateway image", GATEWAY_IMAGE, engine.image_id(GATEWAY_IMAGE))
                seen.add(info.id)
            for one in environments:
                yield from _records(repo, one, info.id)
                yield from _host(engine, one, image)
    except GitopsError as error:
        yield missing(what, error)


def _version(what: str, url: str, version: str) -> Finding:
    found = re.match(r"(\d+)\.(\d+)", version)
    if found and (int(found[1]), int(found[2])) < _OLDEST_ENGINE:
        return missing(what, f"{version} at {url}; 20.10 or newer is needed", "upgrade Docker on that host")
    return ok(what, f"Docker {version} at {url}")


def _clock(skew: timedelta) -> Finding:
    seconds = skew.total_seconds()
    said = f"the engine's is {abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} ours"
    if abs(seconds) > _SKEW:
        return note("clock", said, "set both by NTP: soaks, holds and locks go by the engine's, commits by ours")
    return ok("clock", said)


def _image(what: str, reference: str, found: str | None) -> Finding:
    if found:
        return ok(what, f"{reference} is {found.removeprefix('sha256:')[:12]}")
    return missing(what, f"{reference} is not on the engine", f"docker pull {reference}; or in a clone: make setup")


def _records(repo: Repository, one: EnvironmentFiles, engine: str) -> Iterator[Finding]:
    from gitops_ml.clients.files.records import read_records

    others = sorted({r.engine for r in read_records(repo, one).values() if r.engine != engine})
    if others:
        yield missing(
            one.name,
            f"its records name the engine {others[0]}, and {engine} answers",
            f"gitops-ml sync {one.name} --rebind, if that is meant",
        )


def _host(engine: Engine, one: EnvironmentFiles, image: str | None) -> Iterator[Finding]:
    """The gateway's port, and the host behind it."""
    settings = one.environment.gateway
    what = f"{one.name} port {settings.port}"
    publishers = [c for c in engine.list_containers({}) if _publishes(c, settings.port)]
    for container in publishers:
        name = container["Names"][0].removeprefix("/")
        if container["Labels"].get(PROJECT) == one.project and container["Labels"].get(ENVIRONMENT) == one.name:
            yield ok(what, f"our gateway {name} listens at {settings.bind}")
        else:
            yield missing(what, f"the container {name} publishes it", _free(one))
    if image is None:
        yield note(f"{one.name} host", "not tried: that takes the base image")
        return
    ports = {} if publishers else {8080: (settings.bind, settings.port)}
    try:
        room = _tried(engine, one, image, ports)
    except GitopsError as error:
        yield missing(what if "port" in error.what else f"{one.name} host", error)
        return
    if ports:
        yield ok(what, f"free at {settings.bind}")
    yield _room(f"{one.name} host", room)


def _publishes(container: dict[str, Any], port: int) -> bool:
    return any(found.get("PublicPort") == port for found in container.get("Ports") or ())


def _free(one: EnvironmentFiles) -> str:
    return f"stop it, or change gateway.port in environments/{one.name}/environment.yaml"


def _tried(engine: Engine, one: EnvironmentFiles, image: str, ports: dict[int, tuple[str, int]]) -> int:
    """Start a container that publishes `ports` and says how many bytes are free below it; nothing of it is left."""
    container = engine.create(
        ContainerSpec(
            name=scoped(one.project, one.name, "doctor", secrets.token_hex(4)),
            image=image,
            labels=owner_labels(one.project, one.name, "probe"),
            network="bridge" if ports else None,
            command=("python", "-c", _SAY_ROOM),
            ports=ports,
            memory=128 * 1024**2,
            pids=32,
            restart="no",
        )
    )
    try:
        engine.start(
            container, f"a container that publishes {one.environment.gateway.port}" if ports else "a container"
        )
        code = engine.wait(container, timeout=30.0)
        said = engine.logs(container).strip()
        if code != 0 or not said.isdigit():
            raise EngineFailed(
                "a container of the base image does not run", why=said[-200:] or f"exit {code}", fix="docker info"
            )
        return int(said)
    finally:
        engine.remove(container, force=True)


def _room(what: str, free: int) -> Finding:
    said = f"containers start; {free / 1024**3:.1f} GB of its disk are free"
    fix = "docker system df; docker image prune"
    if free < _TOO_LITTLE_ROOM:
        return missing(what, said, fix)
    return note(what, said, fix) if free < _LITTLE_ROOM else ok(what, said)
