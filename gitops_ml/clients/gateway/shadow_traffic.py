"""A shadow's requests, as the servers themselves counted them: the gateway does not log requests that it only copies.

The counters of the model servers are read through the gateway, so the engine's API is all that is needed. Both
generations are counted in the same way. The shadow's answers reach no user.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.server_metrics import read_metrics

_NUMBER = r"(\d{1,15}(?:\.\d{1,15})?(?:e[+-]\d{1,2})?)"
_CODE = re.compile(rf'gitops_ml_inference_requests_total\{{code="(\d{{3}})"\}} {_NUMBER}\s')
_BUCKET = re.compile(rf'gitops_ml_inference_seconds_bucket\{{le="{_NUMBER}"\}} {_NUMBER}\s')


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many requests one server has answered since its start, and how many of them were bad."""

    requests: int = 0
    bad: int = 0

    def since(self, before: Tally) -> Tally:
        """The requests since `before`; all of them when the server was started again in between."""
        if self.requests < before.requests or self.bad < before.bad:
            return self
        return Tally(requests=self.requests - before.requests, bad=self.bad - before.bad)


def read(engine: Engine, gateway: str, servers: Iterable[tuple[str, int]], slow: float | None) -> dict[str, Tally]:
    """The counts of these (alias, port), by alias; without the servers that do not answer.

    Bad is 5xx, or slower than `slow` seconds, rounded up to the next bound of the server's histogram. Raises
    `EngineFailed` when the gateway cannot be asked.
    """
    return tallies(read_metrics(engine, gateway, servers), slow)


def tallies(metrics: Mapping[str, str], slow: float | None) -> dict[str, Tally]:
    """The counts in the metrics of servers, by alias. Lines that are no counter are skipped."""
    return {alias: _tally(text, slow) for alias, text in metrics.items() if "gitops_ml_" in text}


def _tally(text: str, slow: float | None) -> Tally:
    codes = {code: int(float(count)) for code, count in _CODE.findall(text)}
    total = sum(codes.values())
    errors = sum(count for code, count in codes.items() if code.startswith("5"))
    late = 0
    if slow is not None:
        within = [int(float(count)) for bound, count in _BUCKET.findall(text) if float(bound) >= slow]
        late = max(0, total - min(within, default=total))
    return Tally(requests=total, bad=min(total, errors + late))


def spread(before: Mapping[str, Tally], now: Mapping[str, Tally]) -> dict[str, Tally]:
    """The requests of each server between two readings; a new server counts from its first reading on."""
    return {alias: tally.since(before[alias]) for alias, tally in now.items() if alias in before}
