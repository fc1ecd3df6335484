"""The gateway's container: one Traefik for each project and environment, and how it is waited for.

How it is made and replaced is in `replacement`, how traffic is moved in `routes`; what lies where in it in `layout`.
"""

from __future__ import annotations

import secrets

from gitops_ml.clients.engine.building.base_images import GATEWAY
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import API, ROOT, ROUTES, script, tries
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.core.generation import ContainerSpec, owner_labels, scoped
from gitops_ml.errors import EngineFailed

GATEWAY_IMAGE = GATEWAY.name
WEB_PORT = 8080
_GRACE = 30
"""Seconds that requests in flight have when somebody stops the gateway. Not the environment's `drain`: then a change of
it would replace the gateway, and Traefik does not take every duration that people may write.
"""
REQUEST_ID = "X-Request-Id"
"""The header by which a client names a request; the access log keeps it, so that `trace` finds who answered."""
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
        f"--entryPoints.web.transport.lifeCycle.graceTimeOut={_GRACE}s",
        "--entryPoints.web.http.maxHeaderBytes=16384",  # the log keeps X-Request-Id whole
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
        f"--accessLog.fields.headers.names.{REQUEST_ID}=keep",
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
        stop_grace=_GRACE + 1,
        log_max_size="20m",
        log_max_files=5,
    )


def wait_gateway(engine: Engine, gateway: str, deadline: float = 30.0) -> None:
    """Return once a started gateway answers. Raises `EngineFailed` with its last lines."""
    try:
        words = (f"{API}/ping", tries(deadline))
        answers = engine.exec_script(gateway, script("await-answer"), words, timeout=deadline * 2 + 30).code == 0
    except EngineFailed:
        answers = False  # it has ended
    if not answers:
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
