"""A shadow's requests: what the servers themselves counted, since the gateway logs no request that it only copies.

The counters of the model server are read through the gateway, so that it works over the engine's API alone. Both
generations are counted in the same way; what the shadow answered reached no user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.layout import script
from gitops_ml.errors import EngineFailed

_LONGEST_ANSWER = 4 << 20
"""Bytes that are read of one server's metrics."""
_CODE = re.compile(r'gitops_ml_inference_requests_total\{code="(\d+)"\} ([0-9.e+]+)')
_BUCKET = re.compile(r'gitops_ml_inference_seconds_bucket\{le="([^"]+)"\} ([0-9.e+]+)')


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """Requests that one server has answered since its start, and how many of them were bad."""

    requests: int = 0
    bad: int = 0

    def since(self, before: Tally) -> Tally:
        """What came in since `before`; all of it when the server was started again in between."""
        if self.requests < before.requests or self.bad < before.bad:
            return self
        return Tally(requests=self.requests - before.requests, bad=self.bad - before.bad)


def read(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]], slow: float | None) -> dict[str, Tally]:
    """What these (alias, port) have counted, by alias; without those that do not answer.

    Bad is 5xx, or slower than `slow` seconds, rounded up to the next bound of the server's histogram. Raises
    `EngineFailed` when the gateway cannot be asked.
    """
    where = [f"{alias}:{port}" for alias, port in servers]
    result = engine.exec_in_shell(gateway, script("read-counters"), (str(_LONGEST_ANSWER), *where), timeout=30.0)
    if result.code != 0:
        raise EngineFailed("the servers' counters could not be read", why=result.stderr.decode(errors="replace"))
    found = {}
    for part in result.stdout.decode(errors="replace").split("= ")[1:]:
        server, _, text = part.partition("\n")
        if "gitops_ml_" in text:
            found[server.rpartition(":")[0]] = _tally(text, slow)
    return found


def _tally(text: str, slow: float | None) -> Tally:
    codes = {code: int(float(count)) for code, count in _CODE.findall(text)}
    total = sum(codes.values())
    errors = sum(count for code, count in codes.items() if code.startswith("5"))
    late = 0
    if slow is not None:
        within = [int(float(count)) for bound, count in _BUCKET.findall(text) if float(bound) >= slow]
        late = total - min(within, default=total)
    return Tally(requests=total, bad=min(total, errors + late))


def spread(before: Mapping[str, Tally], now: Mapping[str, Tally]) -> dict[str, Tally]:
    """What each server has answered between two readings; one that is new counts from its first reading."""
    return {alias: tally.since(before[alias]) for alias, tally in now.items() if alias in before}
