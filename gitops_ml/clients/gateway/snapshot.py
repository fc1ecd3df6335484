"""The one look at the world: everything of one environment on one engine, in a number of calls that does not grow.

The calls: who the engine is, containers, networks, volumes, the base image, events (see `engine_facts`), and one
command in the gateway, which tells routes, journal and what is loaded together: two calls that open a shell there, and
none where it is open. They are made side by side where they do not need each other. Where no gateway runs, one archive
of its volume takes the command's place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.config import listed_container
from gitops_ml.clients.engine.facts import current_facts
from gitops_ml.clients.engine.streams import unpack
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE, gateway_name, volume_reader
from gitops_ml.clients.gateway.journal import whole
from gitops_ml.clients.gateway.layout import CERTIFICATE, JOURNAL, ROOT, ROUTES, script
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ROLE, scoped
from gitops_ml.core.observed import Backend, Container, Snapshot
from gitops_ml.core.planning.route import loaded_revision
from gitops_ml.errors import EngineFailed

_SILENT = 8


class _Service(msgspec.Struct):
    server_status: dict[str, str] = msgspec.field(name="serverStatus", default_factory=dict)


class _Loaded(msgspec.Struct):
    """Of Traefik's `/api/rawdata`, what is of interest."""

    middlewares: dict[str, msgspec.Raw] = {}
    services: dict[str, _Service] = {}


def take_snapshot(
    engine: Engine,
    project: str,
    environment: str,
    *,
    base: str,
    cache: Path | None = None,
    image: str = GATEWAY_IMAGE,
) -> Snapshot:
    """One environment as it is now.

    Args:
        base: the name of the base image, whose ID is told.
        cache: a directory of our own for what `engine_facts` keeps; None keeps nothing.
        image: what the gateway's volume is read through, when there is no gateway.

    Raises `EngineUnavailable` and `EngineFailed`: what cannot be read is never taken for empty.
    """
    labels = {PROJECT: project, ENVIRONMENT: environment}
    volume = gateway_name(project, environment)
    with ThreadPoolExecutor(5) as pool:
        asked = pool.submit(engine.info)
        listed = engine.list_containers(labels)
        volumes = pool.submit(engine.list_volumes, labels)

        def has_volume() -> bool:
            return any(found["Name"] == volume for found in volumes.result())

        # The command in the gateway takes longest, so it begins as soon as the gateway is known.
        inside = pool.submit(_inside, engine, _newest(listed, "gateway"), has_volume, project, environment, image)
        networks = pool.submit(engine.list_networks, labels)
        base_id = pool.submit(engine.image_id, base)
        info = asked.result()
        name = f"facts-{info.id.replace(':', '')}-{project}.{environment}.json"
        facts = current_facts(engine, info, listed, cache / name if cache else None)
        files, said = inside.result()
        routes, journal = _files_of(files)
        revisions, backends = _loaded(said)
        network = scoped(project, environment)
        containers = [listed_container(found, facts.get(found["Id"])) for found in listed]
        return Snapshot(
            engine=info.id,
            at=info.now,
            project=project,
            environment=environment,
            containers=tuple(sorted(containers, key=lambda c: (c.name, c.id))),
            network=next((str(n["Id"]) for n in networks.result() if n["Name"] == network), None),
            volume=has_volume(),
            base_id=base_id.result(),
            routes=routes,
            loaded=revisions,
            backends=backends,
            journal=journal,
        )


def list_environment(engine: Engine, project: str, environment: str) -> list[Container]:
    """The environment's containers as they are now, in one call; without facts."""
    return [listed_container(found) for found in engine.list_containers({PROJECT: project, ENVIRONMENT: environment})]


def _newest(listed: Iterable[dict[str, Any]], role: str) -> dict[str, Any] | None:
    found = [container for container in listed if container["Labels"].get(ROLE) == role]
    return max(found, key=lambda container: int(container["Created"]), default=None)


def _inside(
    engine: Engine,
    gateway: dict[str, Any] | None,
    has_volume: Callable[[], bool],
    project: str,
    environment: str,
    image: str,
) -> tuple[dict[str, bytes], bytes]:
    """(files of the gateway's volume by relative path, what a running gateway says that it has loaded).

    A running gateway is asked for both by one command, the archive on its stdout, since that costs half of two calls.
    """
    mounted = gateway and any(mount.get("Destination") == ROOT for mount in gateway.get("Mounts") or ())
    if gateway and mounted:
        if gateway["State"] == "running":
            with contextlib.suppress(EngineFailed):
                result = engine.exec_in_shell(gateway["Id"], script("look"), ())
                if result.code in (0, _SILENT):
                    return unpack([result.stdout], strip=0), result.stderr
        return engine.get(gateway["Id"], ROOT), b""
    if not has_volume():
        return {}, b""
    carried = volume_reader(engine, project, environment, image)
    try:
        return engine.get(carried, ROOT), b""
    finally:
        engine.remove(carried)


def _files_of(files: dict[str, bytes]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(route files by deployment, entries of the journal by name)."""
    routes = {
        name.removeprefix(f"{ROUTES}/").removesuffix(".yml"): content
        for name, content in files.items()
        if name.startswith(f"{ROUTES}/") and name.endswith(".yml") and name != f"{ROUTES}/{CERTIFICATE}"
    }
    entries = {n.removeprefix(f"{JOURNAL}/"): c for n, c in files.items() if n.startswith(f"{JOURNAL}/")}
    return dict(sorted(routes.items())), whole(entries)


def _loaded(said: bytes) -> tuple[dict[str, str], dict[str, Backend]]:
    """(revision by deployment, backend by alias) as the gateway says; nothing when it did not answer."""
    try:
        told = msgspec.json.decode(said, type=_Loaded)
    except msgspec.MsgspecError:
        return {}, {}
    revisions = dict(found for name in told.middlewares if (found := loaded_revision(name)))
    backends = {}
    for service in told.services.values():
        for url, status in service.server_status.items():
            alias = urlsplit(url).hostname or ""
            backends[alias] = Backend(alias=alias, up=status == "UP")
    return revisions, backends
