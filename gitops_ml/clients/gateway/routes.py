"""How traffic is moved: a deployment's route file in the gateway, and the drain of servers that have lost their route.

A route file is staged beside the watched folder and moved into it by `mv` inside the container. The move counts only
once Traefik's own API names the file's revision. The engine's archive call would remove the file and make it again, and
Traefik answers 404 in between. Whatever fails on the way, the file that was there before is put back.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.types import ExecResult
from gitops_ml.clients.gateway.layout import API, CERTIFICATE, LONGEST_WORD, ROOT, ROUTES, STAGE, script, tries
from gitops_ml.core.planning.route import revision_name, revision_of
from gitops_ml.core.text import clean_line
from gitops_ml.errors import EngineFailed

_LOADED_WITHIN = 5.0
_ROUTE_FILE = re.compile(r"[a-z0-9-]+\.yml")


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How a drain ended: `in_flight` requests were still open when its time was up; `seconds` is how long it took."""

    in_flight: int
    seconds: float


def switch(engine: Engine, gateway: str, deployment: str, content: bytes) -> None:
    """Put a deployment's route file in place, whole, and return once the gateway has loaded it.

    If the route is unchanged, Traefik keeps its old health results, for example of replicas that were stopped and
    started again. So this waits for its next health checks.

    Raises `EngineFailed` when the file is not loaded in time; the file that was there before is back then.
    """
    revision = revision_of(content)
    if not revision:
        raise EngineFailed(f"the route of {deployment} carries no revision")
    name = revision_name(deployment, revision)
    text = content.decode()
    if len(content) > LONGEST_WORD:
        engine.put(gateway, f"{ROOT}/{STAGE}", {f"{deployment}.yml": content})
        text = ""
    result = engine.exec_in_shell(gateway, script("switch-route"), (deployment, name, tries(_LOADED_WITHIN), text))
    if result.code != 0:
        output = (result.stdout + result.stderr).decode(errors="replace").strip()
        raise EngineFailed(
            f"the gateway has not loaded the route of {deployment}; its route before is back",
            why=output or _last_error(engine, gateway),
            fix=f"docker logs {gateway[:12]}",
        )
    if b"unchanged" in result.stdout:
        names = msgspec.json.decode(content)["http"]["services"]
        services = [f"{API}/api/http/services/{name}@file" for name in names]
        engine.exec_script(gateway, script("await-servers-up"), (tries(_LOADED_WITHIN), *services))


def remove_route(engine: Engine, gateway: str, deployment: str) -> None:
    """Remove a deployment's route file, and wait until the gateway no longer knows it. Raises `EngineFailed`."""
    result = engine.exec_in_shell(gateway, script("remove-route"), (deployment, tries(_LOADED_WITHIN)))
    if result.code != 0:
        raise EngineFailed(f"the gateway still knows the route of {deployment}", fix=f"docker logs {gateway[:12]}")


def tidy(engine: Engine, gateway: str, files: Sequence[str]) -> None:
    """Remove from the watched folder what has no route file's name, and these `files`; write the certificate anew if it
    is among them. Raises `EngineFailed`.
    """
    from gitops_ml.clients.gateway.certificate import own_configuration  # its import takes 0.1 s

    named = [name for name in files if _ROUTE_FILE.fullmatch(name)]
    if CERTIFICATE in files:
        engine.put(gateway, f"{ROOT}/{STAGE}", {CERTIFICATE: own_configuration()})
        move = ["mv", f"{ROOT}/{STAGE}/{CERTIFICATE}", f"{ROOT}/{ROUTES}/{CERTIFICATE}"]
        _require_success(engine.exec(gateway, move))
    _require_success(engine.exec_script(gateway, script("tidy"), named))


def _require_success(result: ExecResult) -> None:
    if result.code != 0:
        why = clean_line(result.stderr.decode(errors="replace"))
        raise EngineFailed("the gateway's folder of routes could not be tidied", why=why)


def wait_until_drained(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]], deadline: float) -> Drain:
    """Wait until these (alias, port) have had no request in flight for more than a second, or for `deadline` seconds.

    Why a second: a request that the gateway sent by its old route may still be on its way; on an overloaded machine one
    reached its server 0.3 s later. And after a second the gateway has closed its idle connections to them, so that no
    server closes a connection just as a request is sent on it. A server that refuses connections or is gone has no
    request; a server that does not say how many it has is waited for.

    Raises `EngineFailed` when the gateway cannot be asked.
    """
    started = time.monotonic()
    addresses = [f"{alias}:{port}" for alias, port in servers]
    if not addresses:
        return Drain(in_flight=0, seconds=0.0)
    words = (str(max(1, round(deadline))), *addresses)
    result = engine.exec_script(gateway, script("drain"), words, timeout=deadline + 30)
    if result.code != 0:
        why = clean_line(result.stderr.decode(errors="replace"))
        raise EngineFailed(f"draining {', '.join(addresses)} did not work", why=why)
    return Drain(in_flight=int(result.stdout.split()[-1]), seconds=time.monotonic() - started)


def _last_error(engine: Engine, gateway: str) -> str:
    """The last error in the gateway's log, which also holds the access log."""
    lines = [line for line in engine.logs(gateway, 200, limit=1 << 20).splitlines() if '"level":"error"' in line]
    return lines[-1] if lines else "its log holds no error"
