"""The gateway: one Traefik for each project and environment, and how it is made, replaced and waited for.

How traffic is moved is in `routes`; what lies where in the container is in `layout`.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import msgspec

from gitops_ml.clients.engine.base_images import GATEWAY
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import API, CERTIFICATE, JOURNAL, ROOT, ROUTES, STAGE, script, tries
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ContainerSpec, owner_labels, scoped
from gitops_ml.errors import EngineFailed

GATEWAY_IMAGE = GATEWAY.name
WEB_PORT = 8080
_MEMORY = 512 * 1024**2
_PIDS = 512
_FIELDS = [
    "StartUTC",
    "Duration",
    "DownstreamStatus",
    "OriginStatus",
    "OriginDuration",
    "RetryAttempts",
    "RequestMethod",
    "RequestPath",
    "RouterName",
    "ServiceName",
    "ServiceURL",
    "entryPointName",
]


def gateway_name(project: str, environment: str) -> str:
    """The name of the gateway's container and of its volume."""
    return scoped(project, environment, "gateway")


def gateway_spec(project: str, environment: str, gateway: Gateway, image: str = GATEWAY_IMAGE) -> ContainerSpec:
    """The gateway's container.

    The gateway closes a connection to a replica that was idle for a second. If the replica closed it first, just as a
    request is sent on it, that request would fail; and requests are not retried, since a retry could hide a bad
    candidate.
    """
    command = [
        f"--providers.file.directory={ROOT}/{ROUTES}",
        "--providers.file.watch=true",
        "--providers.providersThrottleDuration=10ms",
        f"--entryPoints.web.address=:{WEB_PORT}",
        f"--entryPoints.web.transport.lifeCycle.graceTimeOut={gateway.drain}",
        f"--entryPoints.traefik.address={API.removeprefix('http://')}",
        "--api.insecure=true",
        "--api.dashboard=false",
        "--ping=true",
        "--serversTransport.forwardingTimeouts.dialTimeout=1s",
        "--serversTransport.forwardingTimeouts.idleConnTimeout=1s",
        "--serversTransport.maxIdleConnsPerHost=64",
        "--accessLog=true",
        "--accessLog.format=json",
        "--accessLog.fields.defaultMode=drop",
        *(f"--accessLog.fields.names.{name}=keep" for name in _FIELDS),
        "--accessLog.fields.headers.defaultMode=drop",
        "--log.level=ERROR",
        "--log.format=json",
        "--global.checkNewVersion=false",
        "--global.sendAnonymousUsage=false",
    ]
    return ContainerSpec(
        name=gateway_name(project, environment),
        image=image,
        labels=owner_labels(project, environment, "gateway"),
        network=scoped(project, environment),
        entrypoint=("traefik",),
        command=tuple(command),
        volumes={gateway_name(project, environment): ROOT},
        ports={WEB_PORT: (gateway.bind, gateway.port)},
        memory=_MEMORY,
        pids=_PIDS,
        stop_grace=max(1, round(seconds(gateway.drain))) + 1,
        log_max_size="20m",
        log_max_files=5,
    )


def ensure_gateway(engine: Engine, spec: ContainerSpec, deadline: float = 30.0, instead_of: Iterable[str] = ()) -> str:
    """Make and start a gateway with its network and its volume, and return its ID once it answers.

    Traefik never watches a folder that did not exist when it started. When the gateway cannot be started, all that was
    made is removed, and the gateway of `instead_of` that ran before runs again. Raises `EngineFailed`, for example when
    the port is taken.
    """
    from gitops_ml.clients.gateway.certificate import (
        default_certificate,  # its import takes 0.1 s, and only this call needs it
    )

    project, environment = spec.labels[PROJECT], spec.labels[ENVIRONMENT]
    network, volume = scoped(project, environment), gateway_name(project, environment)
    with ExitStack() as undo:
        if engine.ensure_network(network, owner_labels(project, environment, "network")):
            undo.callback(engine.remove_network, network)
        if engine.ensure_volume(volume, owner_labels(project, environment, "volume")):
            undo.callback(engine.remove_volume, volume)
        running = _make_way(engine, spec, instead_of, undo)
        gateway = engine.create(spec)
        undo.callback(engine.remove, gateway, force=True)
        folders = {f"{name}/": b"" for name in (ROUTES, STAGE, JOURNAL)}
        engine.put(gateway, ROOT, folders | {f"{ROUTES}/{CERTIFICATE}": default_certificate()})
        engine.start(gateway, spec.name)
        wait_gateway(engine, gateway, deadline)
        undo.pop_all()
    for container in running:
        engine.remove(container, force=True)
    return gateway


def _make_way(engine: Engine, spec: ContainerSpec, containers: Iterable[str], undo: ExitStack) -> list[str]:
    """Have old gateways give up the gateway's name and port. Returns those that ran, and may have to run again.

    A gateway on another port goes on until the new one answers. Raises `InputError` where the host has no such address,
    before any gateway is stopped.
    """
    running: list[str] = []
    wanted = set(spec.ports.values())
    for container in containers:
        inspected = engine.inspect_container(container)
        if inspected is None or inspected["State"]["Status"] != "running":
            engine.remove(container, force=True)
            continue
        running.append(container)
        name = inspected["Name"].lstrip("/")
        engine.rename(container, f"{name}.{secrets.token_hex(3)}")
        undo.callback(engine.rename, container, name)
        if {port for _, port in _listens_on(inspected)} & {port for _, port in wanted}:
            for bind in sorted({bind for bind, _ in wanted - _listens_on(inspected)}):
                _prove_address(engine, spec, bind)
            engine.stop(container, grace=1)
            undo.callback(engine.start, container, name)
    return running


def _listens_on(inspected: dict[str, Any]) -> set[tuple[str, int]]:
    """The (address, port) pairs of the host that a container publishes."""
    bound = (inspected["HostConfig"].get("PortBindings") or {}).values()
    bindings = [binding for port in bound for binding in port or ()]
    return {(b.get("HostIp") or "", int(b["HostPort"])) for b in bindings if b.get("HostPort")}


def _prove_address(engine: Engine, spec: ContainerSpec, bind: str) -> None:
    """Listen on this address for a moment, on any free port. Raises `InputError` if the host does not have it.

    The container is labelled as a probe: the next pass removes it if this process dies.
    """
    project, environment = spec.labels[PROJECT], spec.labels[ENVIRONMENT]
    name = scoped(project, environment, "probe", secrets.token_hex(4))
    probe = engine.create(
        msgspec.structs.replace(
            spec,
            name=name,
            labels=owner_labels(project, environment, "probe"),
            entrypoint=("sleep",),
            command=("0",),
            volumes={},
            ports={WEB_PORT: (bind, 0)},
            restart="no",
        )
    )
    try:
        engine.start(probe, name)
    finally:
        engine.remove(probe, force=True)


def wait_gateway(engine: Engine, gateway: str, deadline: float = 30.0) -> None:
    """Return once a started gateway answers. Raises `EngineFailed` with its last lines."""
    result = engine.exec_script(gateway, script("await-answer"), (f"{API}/ping", tries(deadline)), timeout=deadline * 2)
    if result.code != 0:
        raise EngineFailed(
            f"the gateway {gateway[:12]} does not answer within {deadline:.0f} s",
            why=f"its last lines:\n{engine.logs(gateway, 10)}",
            fix=f"docker logs {gateway[:12]}",
        )


def volume_reader(engine: Engine, project: str, environment: str, image: str = GATEWAY_IMAGE) -> str:
    """Make a container that is never started and gives access to the gateway's volume. The caller removes it."""
    name = gateway_name(project, environment)
    return engine.create(
        ContainerSpec(
            name=scoped(project, environment, "volume-reader", secrets.token_hex(4)),
            image=image,
            labels=owner_labels(project, environment, "volume-reader"),
            network=None,
            volumes={name: ROOT},
            restart="no",
        )
    )
