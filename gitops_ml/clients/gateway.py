"""The gateway: one Traefik for each project and environment, and how its traffic is moved.

A deployment's route file is staged beside the watched folder and renamed into it by `mv` inside the
container, and the move counts only when Traefik's own API names the file's revision. The engine's archive
call would remove and recreate the file, and Traefik answers 404 in between. Whatever fails on the way, the
file that was there before is put back.

Commands run with a plain `sh`, `mv`, `rm`, `cp`, `sleep`, `date`, `tar`, `timeout` and `wget`: all that
the image has to hold.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import msgspec

from gitops_ml.clients.engine import Engine
from gitops_ml.clients.engine_types import ExecResult
from gitops_ml.core.desired import Gateway, seconds
from gitops_ml.core.generation import ENVIRONMENT, PROJECT, ContainerSpec, owner_labels, scoped
from gitops_ml.core.route import revision_name, revision_of
from gitops_ml.errors import EngineFailed

GATEWAY_IMAGE = "traefik:v3"
ROOT = "/gateway"
ROUTES, STAGE, JOURNAL = "routes", "stage", "journal"
API = "http://127.0.0.1:8081"
WEB_PORT = 8080
_MEMORY = 512 * 1024**2
_PIDS = 512
_LOADED_WITHIN = 5.0
_POLL = 0.02
_LONGEST_WORD = 100_000  # bytes; Linux takes 128 KiB in one word of a command line
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


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How a drain ended: requests that were still in flight when its time was up, and how long it took in seconds."""

    cut: int
    seconds: float


def gateway_name(project: str, environment: str) -> str:
    """The name of the gateway's container and of its volume."""
    return scoped(project, environment, "gateway")


def gateway_spec(project: str, environment: str, gateway: Gateway, image: str = GATEWAY_IMAGE) -> ContainerSpec:
    """The gateway's container.

    Connections to replicas that were idle for a second are closed: a server that closes one first, just as a
    request is sent on it, would fail that request, and requests are not retried, since a retry could hide a
    bad candidate.
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


def raise_gateway(engine: Engine, spec: ContainerSpec, deadline: float = 30.0, instead_of: Iterable[str] = ()) -> str:
    """Make and start a gateway with its network and its volume, and return its ID once it answers.

    The watched folder must be there before Traefik starts, or it never watches it. When it cannot be started, what
    was made is taken away, and the one of `instead_of` that ran before runs again. Raises `EngineFailed`, for one
    when the port is taken.
    """
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
        engine.put(gateway, ROOT, {f"{name}/": b"" for name in (ROUTES, STAGE, JOURNAL)})
        engine.start(gateway, spec.name)
        wait_gateway(engine, gateway, deadline)
        undo.pop_all()
    for container in running:
        engine.remove(container, force=True)
    return gateway


def _make_way(engine: Engine, spec: ContainerSpec, containers: Iterable[str], undo: ExitStack) -> list[str]:
    """Have these containers give up the gateway's name and its port; those that ran, and may have to run again.

    One that listens elsewhere goes on until the new one answers. Raises `InputError` where the host has no such
    address, before any of them is stopped.
    """
    running: list[str] = []
    wanted = set(spec.ports.values())
    for container in containers:
        found = engine.inspect_container(container)
        if found is None or found["State"]["Status"] != "running":
            engine.remove(container, force=True)
            continue
        running.append(container)
        name = found["Name"].lstrip("/")
        engine.rename(container, f"{name}.{secrets.token_hex(3)}")
        undo.callback(engine.rename, container, name)
        if {port for _, port in _listens_on(found)} & {port for _, port in wanted}:
            for bind in sorted({bind for bind, _ in wanted - _listens_on(found)}):
                _prove_address(engine, spec, bind)
            engine.stop(container, grace=1)
            undo.callback(engine.start, container, name)
    return running


def _listens_on(found: dict[str, Any]) -> set[tuple[str, int]]:
    bound = (found["HostConfig"].get("PortBindings") or {}).values()
    return {
        (one.get("HostIp") or "", int(one["HostPort"])) for ports in bound for one in ports or () if one.get("HostPort")
    }


def _prove_address(engine: Engine, spec: ContainerSpec, bind: str) -> None:
    """Listen on this address for a moment, on any free port. As a probe, since those of a dead process are removed."""
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
    result = _shell(engine, gateway, _AWAIT, f"{API}/ping", str(round(deadline / _POLL)), timeout=deadline * 2)
    if result.code != 0:
        raise EngineFailed(
            f"the gateway {gateway[:12]} does not answer within {deadline:.0f} s",
            why=f"its last lines:\n{engine.logs(gateway, 10)}",
            mend=f"docker logs {gateway[:12]}",
        )


def carrier(engine: Engine, project: str, environment: str, image: str = GATEWAY_IMAGE) -> str:
    """A container that is never started and gives access to the gateway's volume; the caller removes it."""
    name = gateway_name(project, environment)
    return engine.create(
        ContainerSpec(
            name=scoped(project, environment, "carrier", secrets.token_hex(4)),
            image=image,
            labels=owner_labels(project, environment, "carrier"),
            network=None,
            volumes={name: ROOT},
            restart="no",
        )
    )


def switch(engine: Engine, gateway: str, deployment: str, content: bytes) -> None:
    """Put a deployment's route file in place, whole, and return once the gateway has loaded it.

    A route that is there already is no news to the gateway, which goes on believing its last look at the servers; so
    then this waits for its next ones, as for replicas that were stopped and started again.

    Raises `EngineFailed` when it is not loaded in time; the file that was there before is back then.
    """
    revision = revision_of(content)
    if not revision:
        raise EngineFailed(f"the route of {deployment} carries no revision")
    name = revision_name(deployment, revision)
    text = content.decode()
    if len(content) > _LONGEST_WORD:
        engine.put(gateway, f"{ROOT}/{STAGE}", {f"{deployment}.yml": content})
        text = ""
    result = _shell(engine, gateway, _SWITCH, deployment, name, str(round(_LOADED_WITHIN / _POLL)), text)
    if result.code != 0:
        said = (result.stdout + result.stderr).decode(errors="replace").strip()
        raise EngineFailed(
            f"the gateway has not loaded the route of {deployment}; its route before is back",
            why=said or _complaint(engine, gateway),
            mend=f"docker logs {gateway[:12]}",
        )
    if b"unchanged" in result.stdout:
        found = msgspec.json.decode(content)["http"]["services"]
        services = [f"{API}/api/http/services/{service}@file" for service in found]
        _shell(engine, gateway, _AWAIT_UP, str(round(_LOADED_WITHIN / _POLL)), *services)


def remove_route(engine: Engine, gateway: str, deployment: str) -> None:
    """Take a deployment's route file away and return once the gateway no longer knows it."""
    result = _shell(engine, gateway, _UNROUTE, deployment, str(round(_LOADED_WITHIN / _POLL)))
    if result.code != 0:
        raise EngineFailed(f"the gateway still knows the route of {deployment}", mend=f"docker logs {gateway[:12]}")


def drained(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]], deadline: float) -> Drain:
    """Wait until these (alias, port) have reported no request in flight for more than a second, or `deadline`
    seconds.

    So long, since a request that the gateway dealt out by its old route may be on its way still: on a machine with
    more to do than it can, one reached a server 0.3 s later. And after a second the gateway keeps no idle connection
    to them, so that none is closed just as a request is sent on it. One that refuses connections or is gone has none;
    one that does not say how many it has is waited for.
    """
    started = time.monotonic()
    where = [f"{alias}:{port}" for alias, port in servers]
    if not where:
        return Drain(cut=0, seconds=0.0)
    result = _shell(engine, gateway, _DRAIN, str(max(1, round(deadline))), *where, timeout=deadline + 30)
    if result.code != 0:
        said = result.stderr.decode(errors="replace").strip()
        raise EngineFailed(f"draining {', '.join(where)} did not work", why=said)
    return Drain(cut=int(result.stdout.split()[-1]), seconds=time.monotonic() - started)


def _complaint(engine: Engine, gateway: str) -> str:
    """The last line that the gateway itself said, among those of its access log."""
    lines = [line for line in engine.logs(gateway, 200).splitlines() if '"level":"error"' in line]
    return lines[-1] if lines else "it says nothing"


def _shell(engine: Engine, gateway: str, script: str, *words: str, timeout: float = 30.0) -> ExecResult:
    return engine.exec(gateway, ["sh", "-c", script, "sh", *words], timeout)


_AWAIT = """
n=0
until timeout 2 wget -q -O /dev/null "$1" 2>/dev/null; do
  n=$((n + 1)); [ "$n" -lt "$2" ] || exit 3
  sleep 0.02
done
"""

_SWITCH = f"""
cd {ROOT} || exit 1
old={STAGE}/$1.old new={ROUTES}/$1.yml
rm -f "$old"
[ -z "$4" ] || printf %s "$4" >"{STAGE}/$1.yml" || exit 1
[ ! -e "$new" ] || cp "$new" "$old" || exit 1
enabled() {{
  said=$(timeout 2 wget -q -O - "{API}/api/http/routers/$1.protocol@file" 2>&1)
  case $said in *'"status":"enabled"'*) ;; *) return 1 ;; esac
}}
back() {{
  [ -e "$old" ] || {{ rm -f "$new"; exit 3; }}
  mv "$old" "$new"
  n=0
  until enabled "$1"; do n=$((n + 1)); [ "$n" -lt "$3" ] || break; sleep 0.02; done
  exit 3
}}
[ ! -e "$old" ] || [ "$(cat "$old")" != "$(cat "{STAGE}/$1.yml")" ] || echo unchanged
mv "{STAGE}/$1.yml" "$new" || exit 1
n=0
until timeout 2 wget -q -O /dev/null "{API}/api/http/middlewares/$2@file" 2>/dev/null; do
  n=$((n + 1)); [ "$n" -lt "$3" ] || back "$@"
  sleep 0.02
done
enabled "$1" || {{ echo "$said"; back "$@"; }}
rm -f "$old"
"""

_AWAIT_UP = """
most=$1 n=0; shift
while [ "$n" -lt "$most" ]; do
  down=
  for service in "$@"; do
    case $(timeout 2 wget -q -O - "$service" 2>/dev/null) in *':"DOWN"'*) down=1 ;; esac
  done
  [ -n "$down" ] || exit 0
  n=$((n + 1)); sleep 0.02
done
"""

_UNROUTE = f"""
rm -f "{ROOT}/{ROUTES}/$1.yml"
n=0
while :; do
  said=$(timeout 2 wget -q -O - "{API}/api/http/routers/$1.protocol@file" 2>&1)
  case $said in *404*) exit 0 ;; esac
  n=$((n + 1)); [ "$n" -lt "$2" ] || exit 3
  sleep 0.02
done
"""

_DRAIN = r"""
until=$(($(date +%s) + $1)); shift
quiet=0
while :; do
  total=0 unknown=0 answered=0
  for server in "$@"; do
    if said=$(timeout 2 wget -q -O - "http://$server/gitops-ml/in-flight" 2>&1); then
      n=${said##*:}; total=$((total + ${n%%\}*})) answered=1
    else
      case $said in *refused*|*"bad address"*|*"not known"*|*"o route"*|*nreachable*) ;; *) unknown=1 ;; esac
    fi
  done
  if [ "$total$unknown" = 00 ]; then
    quiet=$((quiet + 1))
    [ "$quiet" -le 12 ] && [ "$quiet$answered" != 20 ] || break
    sleep 0.1
  else
    quiet=0; sleep 0.05
  fi
  [ "$(date +%s)" -lt "$until" ] || break
done
echo "$total"
"""
