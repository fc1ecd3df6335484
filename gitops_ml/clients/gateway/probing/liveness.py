"""Finds replicas whose process runs and does not answer: one that was stopped, that hangs, or that never came up.

The gateway checks the health of each server, but says only up or down. A server may be down for a moment, or say by an
error that it is busy, or answer late: its only thread may be in a long request, or the host overloaded. So a server
that is down is asked again from inside the gateway, and waited for longer than the gateway waits. Nothing is remembered
between two looks.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import script
from gitops_ml.core.observed import Container
from gitops_ml.errors import EngineFailed, EngineUnavailable

_TRIES, _SECONDS = 3, 5
"""How often a server is asked, and how long each answer may take: longer than `HEALTH_TIMEOUT` of the route."""
_LONGEST = _TRIES * _SECONDS + 10.0
"""Seconds that one look may take for all servers, since they are asked side by side."""
_MOST = 32
"""Servers that one look asks again; more of them at once would need the gateway's own memory and processes."""


def find_unresponsive(
    engine: Engine, gateway: str, containers: Iterable[Container], health: dict[str, str], now: datetime
) -> dict[str, float]:
    """The containers that do not answer, by ID, with the seconds since their process started.

    Args:
        containers: running replicas that the gateway calls down.
        health: the health URL of each, by the container's alias.
        now: the engine's clock.

    Costs nothing where `containers` is empty, and about 16 s where one of them is silent. Raises `EngineUnavailable`.
    """
    suspects = {health[c.alias]: c.id for c in containers if c.alias in health}
    asked = sorted(suspects)[:_MOST]
    if not asked:
        return {}
    try:
        words = (str(_TRIES), str(_SECONDS), *asked)
        result = engine.exec_script(gateway, script("find-unresponsive"), words, timeout=_LONGEST)
    except (EngineFailed, EngineUnavailable):
        return {}
    silent = [suspects[url] for url in result.stdout.decode(errors="replace").split() if url in suspects]
    return {container: seconds for container in silent if (seconds := _seconds_up(engine, container, now)) is not None}


def _seconds_up(engine: Engine, container: str, now: datetime) -> float | None:
    """How long the container's process has run; None when it does not run any more."""
    inspected = engine.inspect_container(container)
    if inspected is None or inspected["State"]["Status"] != "running":
        return None
    return (now - datetime.fromisoformat(inspected["State"]["StartedAt"])).total_seconds()
