"""The one look at the world: everything of one environment on one engine, in a number of calls that does not grow.

The calls: the engine's identity, containers, networks, volumes, the base image, events (see `engine.facts`), and one
script in the gateway that brings routes, journal and what Traefik has loaded. The script needs two calls to open a
shell in the gateway, and none where a shell is open. Calls that do not need each other run side by side. Where no
gateway runs, one archive of its volume takes the script's place. Only a replica that the gateway calls down costs more
calls.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.engine.building.base_images import base_identity
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.config import listed_container
from gitops_ml.clients.engine.container_facts import current_facts
from gitops_ml.clients.engine.streams import unpack
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE, gateway_name, volume_reader
from gitops_ml.clients.gateway.journal import whole
from gitops_ml.clients.gateway.layout import CERTIFICATE, INDEX_FILE, JOURNAL, ROOT, ROUTES, script
from gitops_ml.clients.gateway.own_routes import has_own_routes
from gitops_ml.clients.gateway.probing.liveness import find_unresponsive
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ROLE, scoped
from gitops_ml.core.observed import Backend, Container, Snapshot
from gitops_ml.core.planning.route import loaded_revision
from gitops_ml.errors import EngineFailed

_ROUTE_FILE = re.compile(r"([a-z0-9-]+)\.yml")
_NO_ANSWER = 8
"""The exit code of the script `look` where Traefik does not answer; the archive is whole all the same."""


class _HealthCheck(msgspec.Struct):
    path: str = ""


class _LoadBalancer(msgspec.Struct):
    health_check: _HealthCheck | None = msgspec.field(name="healthCheck", default=None)


class _Service(msgspec.Struct):
    server_status: dict[str, str] = msgspec.field(name="serverStatus", default_factory=dict)
    load_balancer: _LoadBalancer | None = msgspec.field(name="loadBalancer", default=None)


class _RawData(msgspec.Struct):
    """The parts of Traefik's `/api/rawdata` that are of interest."""

    middlewares: dict[str, msgspec.Raw] = {}
    services: dict[str, _Service] = {}


class _Loaded(msgspec.Struct, frozen=True):
    """What the gateway has loaded: revision by deployment, server and health URL by alias."""

    revisions: dict[str, str] = {}
    backends: dict[str, Backend] = {}
    health: dict[str, str] = {}


def take_snapshot(
    engine: Engine,
    project: str,
    environment: str,
    *,
    base: str,
    cache: Path | None = None,
    image: str = GATEWAY_IMAGE,
) -> Snapshot:
    """Look at one environment.

    Args:
        base: the name of the base image, whose identity is looked up.
        cache: a folder of our own for what `engine.facts` keeps; None keeps nothing.
        image: the image of the container that reads the gateway's volume when no gateway exists.

    Raises `EngineUnavailable` and `EngineFailed`: what cannot be read is never taken for empty.
    """
    labels = {PROJECT: project, ENVIRONMENT: environment}
    volume, network = gateway_name(project, environment), scoped(project, environment)
    with ThreadPoolExecutor(5) as pool:
        asking = pool.submit(engine.info)
        listed = engine.list_containers(labels)
        volumes = pool.submit(engine.list_volumes, labels)

        def has_volume() -> bool:
            return any(listed_volume["Name"] == volume for listed_volume in volumes.result())

        # The script in the gateway takes longest, so it begins as soon as the gateway is known.
        gateway = _newest(listed, "gateway")
        reading = pool.submit(_read_volume, engine, gateway, has_volume, project, environment, image)
        networks = pool.submit(engine.list_networks, labels)
        base_id = pool.submit(base_identity, engine, base)
        info = asking.result()
        name = f"facts-{info.id.replace(':', '')}-{project}.{environment}.json"
        facts = current_facts(engine, info, listed, cache / name if cache else None)
        files, raw_data = reading.result()
        routes, strays, journal = _sort(files)
        loaded = _parse_loaded(raw_data)
        containers = [listed_container(entry, facts.get(entry["Id"])) for entry in listed]
        down = [c for c in containers if c.role == "replica" and c.state == "running" and _is_down(c, loaded)]
        return Snapshot(
            engine=info.id,
            at=info.now,
            project=project,
            environment=environment,
            containers=tuple(sorted(containers, key=lambda c: (c.name, c.id))),
            network=next((str(n["Id"]) for n in networks.result() if n["Name"] == network), None),
            volume=has_volume(),
            base_id=base_id.result(),
            cpus=info.cpus,
            gpus=info.gpus,
            routes=routes,
            index=files.get(f"{ROUTES}/{INDEX_FILE}", b""),
            strays=strays,
            loaded=loaded.revisions,
            backends=loaded.backends,
            unresponsive=find_unresponsive(engine, gateway["Id"], down, loaded.health, info.now) if gateway else {},
            journal=journal,
        )


def list_environment(engine: Engine, project: str, environment: str) -> list[Container]:
    """The environment's containers as they are now, in one call; without facts."""
    return [listed_container(entry) for entry in engine.list_containers({PROJECT: project, ENVIRONMENT: environment})]


def _newest(listed: Iterable[dict[str, Any]], role: str) -> dict[str, Any] | None:
    matches = [container for container in listed if container["Labels"].get(ROLE) == role]
    return max(matches, key=lambda container: int(container["Created"]), default=None)


def _read_volume(
    engine: Engine,
    gateway: dict[str, Any] | None,
    has_volume: Callable[[], bool],
    project: str,
    environment: str,
    image: str,
) -> tuple[dict[str, bytes], bytes]:
    """(files of the gateway's volume by relative path, what Traefik says it has loaded).

    One script in a running gateway brings both, since one call costs half of two.
    """
    mounted = gateway and any(mount.get("Destination") == ROOT for mount in gateway.get("Mounts") or ())
    if gateway and mounted:
        if gateway["State"] == "running":
            with contextlib.suppress(EngineFailed):
                result = engine.exec_in_shell(gateway["Id"], script("look"), ())
                if result.code in (0, _NO_ANSWER):
                    return unpack([result.stdout], strip=0), result.stderr
        return engine.get(gateway["Id"], ROOT), b""
    if not has_volume():
        return {}, b""
    reader = volume_reader(engine, project, environment, image)
    try:
        return engine.get(reader, ROOT), b""
    finally:
        engine.remove(reader)


def _sort(files: dict[str, bytes]) -> tuple[dict[str, bytes], tuple[str, ...], dict[str, bytes]]:
    """(route files by deployment, what else is in their folder, entries of the journal by name)."""
    routes, strays = {}, []
    for name, content in sorted(files.items()):
        folder, _, file = name.partition("/")
        route = _ROUTE_FILE.fullmatch(file)
        if folder != ROUTES or file == INDEX_FILE or (file == CERTIFICATE and has_own_routes(content)):
            continue
        if route:
            routes[route[1]] = content
        else:
            strays.append(file)
    entries = {n.removeprefix(f"{JOURNAL}/"): c for n, c in files.items() if n.startswith(f"{JOURNAL}/")}
    return routes, tuple(strays), whole(entries)


def _parse_loaded(raw_data: bytes) -> _Loaded:
    """What Traefik's `/api/rawdata` says; nothing when Traefik did not answer."""
    try:
        answer = decode(raw_data, _RawData)
    except msgspec.MsgspecError:
        return _Loaded()
    loaded = _Loaded(revisions=dict(pair for name in answer.middlewares if (pair := loaded_revision(name))))
    for service in answer.services.values():
        check = service.load_balancer.health_check if service.load_balancer else None
        for url, status in service.server_status.items():
            alias = urlsplit(url).hostname or ""
            loaded.backends[alias] = Backend(alias=alias, up=status == "UP")
            if check:
                loaded.health[alias] = f"{url}{check.path}"
    return loaded


def _is_down(container: Container, loaded: _Loaded) -> bool:
    backend = loaded.backends.get(container.alias)
    return backend is not None and not backend.up
