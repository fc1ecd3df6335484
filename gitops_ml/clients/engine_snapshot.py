"""The one look at the world: everything of one environment on one engine, in a number of calls that does not grow.

The calls: who the engine is, containers, networks, volumes, the base image, events (see `engine_facts`), one archive of
the gateway's volume (routes and journal together), and one command in the gateway, which takes three. They are made
side by side where they do not need each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from gitops_ml.clients.engine import Engine
from gitops_ml.clients.engine_config import GIVEN
from gitops_ml.clients.engine_facts import current_facts
from gitops_ml.clients.gateway import API, GATEWAY_IMAGE, JOURNAL, ROOT, ROUTES, carrier, gateway_name
from gitops_ml.clients.journal import whole
from gitops_ml.core.generation import ENVIRONMENT, LABEL, PROJECT, ROLE, scoped
from gitops_ml.core.observed import Backend, Container, ContainerFacts, Snapshot
from gitops_ml.core.route import loaded_revision
from gitops_ml.errors import EngineFailed


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
    with ThreadPoolExecutor(4) as pool:
        asked = pool.submit(engine.info)
        networks = pool.submit(engine.list_networks, labels)
        volumes = pool.submit(engine.list_volumes, labels)
        base_id = pool.submit(engine.image_id, base)
        listed = engine.list_containers(labels)
        gateway = _newest(listed, "gateway")
        there = any(found["Name"] == volume for found in volumes.result())
        files = pool.submit(_volume_files, engine, gateway, there, project, environment, image)
        loaded = pool.submit(_loaded, engine, gateway)
        info = asked.result()
        name = f"facts-{info.id.replace(':', '')}-{project}.{environment}.json"
        facts = current_facts(engine, info, listed, cache / name if cache else None)
        routes, journal = files.result()
        revisions, backends = loaded.result()
        network = scoped(project, environment)
        return Snapshot(
            engine=info.id,
            at=info.now,
            project=project,
            environment=environment,
            containers=tuple(sorted((_container(c, facts) for c in listed), key=lambda c: (c.name, c.id))),
            network=next((str(n["Id"]) for n in networks.result() if n["Name"] == network), None),
            volume=there,
            base_id=base_id.result(),
            routes=routes,
            loaded=revisions,
            backends=backends,
            journal=journal,
        )


def _newest(listed: Iterable[dict[str, Any]], role: str) -> dict[str, Any] | None:
    found = [container for container in listed if container["Labels"].get(ROLE) == role]
    return max(found, key=lambda container: int(container["Created"]), default=None)


def _container(listed: dict[str, Any], facts: dict[str, ContainerFacts]) -> Container:
    """Labels that an image brings, and the one that facts are read by, are not what the container was asked to be."""
    labels = {k: v for k, v in listed["Labels"].items() if k.startswith(LABEL) and k != GIVEN}
    return Container(
        id=listed["Id"],
        # Links of others to it are listed as further names, with a slash inside.
        name=next((n[1:] for n in listed["Names"] if n.count("/") == 1), ""),
        image_id=listed["ImageID"],
        state=listed["State"],
        created=int(listed["Created"]),
        labels=dict(sorted(labels.items())),
        networks=tuple(sorted((listed.get("NetworkSettings") or {}).get("Networks") or ())),
        facts=facts.get(listed["Id"]),
    )


def _volume_files(
    engine: Engine, gateway: dict[str, Any] | None, there: bool, project: str, environment: str, image: str
) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(route files by deployment, entries of the journal by name) on the gateway's volume."""
    if gateway and any(mount.get("Destination") == ROOT for mount in gateway.get("Mounts") or ()):
        files = engine.get(gateway["Id"], ROOT)
    elif there:
        carried = carrier(engine, project, environment, image)
        try:
            files = engine.get(carried, ROOT)
        finally:
            engine.remove(carried)
    else:
        return {}, {}
    routes = {
        name.removeprefix(f"{ROUTES}/").removesuffix(".yml"): content
        for name, content in files.items()
        if name.startswith(f"{ROUTES}/") and name.endswith(".yml")
    }
    entries = {n.removeprefix(f"{JOURNAL}/"): c for n, c in files.items() if n.startswith(f"{JOURNAL}/")}
    return dict(sorted(routes.items())), whole(entries)


def _loaded(engine: Engine, gateway: dict[str, Any] | None) -> tuple[dict[str, str], dict[str, Backend]]:
    """(revision by deployment, backend by alias) as the gateway says; nothing when it does not run or answer."""
    if not gateway or gateway["State"] != "running":
        return {}, {}
    try:
        result = engine.exec(gateway["Id"], ["wget", "-q", "-O", "-", f"{API}/api/rawdata"])
        told = msgspec.json.decode(result.stdout, type=_Loaded)
    except (EngineFailed, msgspec.MsgspecError):
        return {}, {}
    revisions = dict(found for name in told.middlewares if (found := loaded_revision(name)))
    backends = {}
    for service in told.services.values():
        for url, status in service.server_status.items():
            server = urlsplit(url)
            alias = server.hostname or ""
            backends[alias] = Backend(alias=alias, port=server.port or 80, up=status == "UP")
    return revisions, backends
