"""How traffic is moved: a deployment's route file in the gateway, and the drain of servers that have lost theirs.

A route file is staged beside the watched folder and renamed into it by `mv` inside the container, and the move counts
only when Traefik's own API names the file's revision. The engine's archive call would remove and recreate the file, and
Traefik answers 404 in between. Whatever fails on the way, the file that was there before is put back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import API, LONGEST_WORD, ROOT, STAGE, script, tries
from gitops_ml.core.planning.route import revision_name, revision_of
from gitops_ml.errors import EngineFailed

_LOADED_WITHIN = 5.0


class Drain(msgspec.Struct, frozen=True, kw_only=True):
    """How a drain ended: requests that were still in flight when its time was up, and how long it took in seconds."""

    cut: int
    seconds: float


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
    if len(content) > LONGEST_WORD:
        engine.put(gateway, f"{ROOT}/{STAGE}", {f"{deployment}.yml": content})
        text = ""
    result = engine.exec_in_shell(gateway, script("switch-route"), (deployment, name, tries(_LOADED_WITHIN), text))
    if result.code != 0:
        said = (result.stdout + result.stderr).decode(errors="replace").strip()
        raise EngineFailed(
            f"the gateway has not loaded the route of {deployment}; its route before is back",
            why=said or _complaint(engine, gateway),
            fix=f"docker logs {gateway[:12]}",
        )
    if b"unchanged" in result.stdout:
        found = msgspec.json.decode(content)["http"]["services"]
        services = [f"{API}/api/http/services/{service}@file" for service in found]
        engine.exec_script(gateway, script("await-servers-up"), (tries(_LOADED_WITHIN), *services))


def remove_route(engine: Engine, gateway: str, deployment: str) -> None:
    """Take a deployment's route file away and return once the gateway no longer knows it."""
    result = engine.exec_in_shell(gateway, script("remove-route"), (deployment, tries(_LOADED_WITHIN)))
    if result.code != 0:
        raise EngineFailed(f"the gateway still knows the route of {deployment}", fix=f"docker logs {gateway[:12]}")


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
    result = engine.exec_script(gateway, script("drain"), (str(max(1, round(deadline))), *where), timeout=deadline + 30)
    if result.code != 0:
        said = result.stderr.decode(errors="replace").strip()
        raise EngineFailed(f"draining {', '.join(where)} did not work", why=said)
    return Drain(cut=int(result.stdout.split()[-1]), seconds=time.monotonic() - started)


def _complaint(engine: Engine, gateway: str) -> str:
    """The last line that the gateway itself said, among those of its access log."""
    lines = [line for line in engine.logs(gateway, 200).splitlines() if '"level":"error"' in line]
    return lines[-1] if lines else "it says nothing"
