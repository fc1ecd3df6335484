"""How the gateway is made, and replaced by a changed one: no mistake may take away the gateway that serves.

The changed gateway is tried beside the old one first. The old one stops only where both need the same address, as the
last thing before the new one starts, and comes back when the new one does not answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import gateway_name, wait_gateway
from gitops_ml.clients.gateway.layout import CERTIFICATE, JOURNAL, ROOT, ROUTES, STAGE
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ContainerSpec, overlap, owner_labels, scoped
from gitops_ml.errors import EngineFailed

_FOLDERS = {f"{name}/": b"" for name in (ROUTES, STAGE, JOURNAL)}
"""Traefik never watches a folder that did not exist when it started."""
_CUT_AFTER = 1
"""Seconds that requests in flight have where the old gateway makes way for the new one: all other requests wait."""


class _OldGateway(msgspec.Struct, frozen=True):
    """A gateway that runs and is to be replaced; `listens_on` are (address, port) pairs of the host."""

    id: str
    name: str
    listens_on: frozenset[tuple[str, int]]


def ensure_gateway(engine: Engine, spec: ContainerSpec, deadline: float = 30.0, instead_of: Iterable[str] = ()) -> str:
    """Make and start a gateway with its network and its volume, and return its ID once it answers.

    When the gateway cannot be started, all that was made is removed, and the gateways of `instead_of` that ran before
    run again. Raises `EngineFailed`, for example when the port is taken, and `InputError` where the host has no such
    address.
    """
    from gitops_ml.clients.gateway.certificate import (
        own_configuration,  # its import takes 0.1 s, and only this call needs it
    )

    project, environment = spec.labels[PROJECT], spec.labels[ENVIRONMENT]
    network, volume = scoped(project, environment), gateway_name(project, environment)
    stopped: list[_OldGateway] = []
    with ExitStack() as undo:
        if engine.ensure_network(network, owner_labels(project, environment, "network")):
            undo.callback(engine.remove_network, network)
        if engine.ensure_volume(volume, owner_labels(project, environment, "volume")):
            undo.callback(engine.remove_volume, volume)
        olds = _running(engine, instead_of)
        if olds:
            _try_out(engine, spec, olds, deadline)
        for old in olds:
            engine.rename(old.id, f"{old.name}.{secrets.token_hex(3)}")
            undo.callback(engine.rename, old.id, old.name)
        undo.callback(_start_again, engine, stopped, deadline)
        gateway = engine.create(spec)
        undo.callback(engine.remove, gateway, force=True)
        engine.put(gateway, ROOT, _FOLDERS | {f"{ROUTES}/{CERTIFICATE}": own_configuration()})
        for old in olds:
            if any(overlap(one, other) for one in old.listens_on for other in spec.ports.values()):
                stopped.append(old)
                engine.stop(old.id, grace=_CUT_AFTER)
        engine.start(gateway, spec.name)
        wait_gateway(engine, gateway, deadline)
        undo.pop_all()
    for old in olds:
        _retire(engine, old.id, spec)
    return gateway


def keep_gateway(engine: Engine, spec: ContainerSpec, gateway: str, others: Iterable[str]) -> None:
    """Remove the other gateways, and give this one, which serves as declared, its name."""
    for other in others:
        _retire(engine, other, spec)
    inspected = engine.inspect_container(gateway)
    if inspected and inspected["Name"].lstrip("/") != spec.name:
        engine.rename(gateway, spec.name)


def _running(engine: Engine, containers: Iterable[str]) -> list[_OldGateway]:
    """Remove the gateways among these that do not run. Returns those that do."""
    running = []
    for container in containers:
        inspected = engine.inspect_container(container)
        if inspected is None or inspected["State"]["Status"] != "running":
            engine.remove(container, force=True)
        else:
            running.append(_OldGateway(container, inspected["Name"].lstrip("/"), _listens_on(inspected)))
    return running


def _start_again(engine: Engine, gateways: Iterable[_OldGateway], deadline: float) -> None:
    for old in gateways:
        engine.start(old.id, old.name)
        wait_gateway(engine, old.id, deadline)


def _retire(engine: Engine, gateway: str, spec: ContainerSpec) -> None:
    """Remove a gateway once its requests in flight have ended, or its time is up."""
    engine.stop(gateway, spec.stop_grace)
    engine.remove(gateway, force=True)


def _listens_on(inspected: dict[str, Any]) -> frozenset[tuple[str, int]]:
    """The (address, port) pairs of the host that a container publishes."""
    bound = (inspected["HostConfig"].get("PortBindings") or {}).values()
    bindings = [binding for port in bound for binding in port or ()]
    return frozenset((b.get("HostIp") or "", int(b["HostPort"])) for b in bindings if b.get("HostPort"))


def _try_out(engine: Engine, spec: ContainerSpec, olds: Iterable[_OldGateway], deadline: float) -> None:
    """Start the changed gateway for a moment, without its routes, and on any free port of an address that is new.

    The container is labelled as a probe: the next pass removes it if this process dies. Raises `EngineFailed` if the
    gateway does not answer, and `InputError` if the host does not have the address.
    """
    project, environment = spec.labels[PROJECT], spec.labels[ENVIRONMENT]
    name = scoped(project, environment, "probe", secrets.token_hex(4))
    known = {bind for old in olds for bind, _ in old.listens_on}
    trial = engine.create(
        msgspec.structs.replace(
            spec,
            name=name,
            labels=owner_labels(project, environment, "probe"),
            volumes={},
            anonymous_volumes=(ROOT,),
            ports={port: (bind, 0) for port, (bind, _) in spec.ports.items() if bind not in known},
            restart="no",
        )
    )
    try:
        engine.put(trial, ROOT, _FOLDERS)
        engine.start(trial, name)
        wait_gateway(engine, trial, deadline)
    except EngineFailed as error:
        raise EngineFailed(
            f"the changed gateway of {environment} does not start; the one before goes on",
            why=f"{error.what}: {error.why}",
            fix=f"correct `gateway:` in environments/{environment}/environment.yaml",
        ) from error
    finally:
        engine.remove(trial, force=True)
