"""Counting users' requests to a candidate and its incumbent, for the test that decides on a canary or a shadow.

A canary's requests are in the gateway's log. A shadow's copies are not: the servers' own counters tell them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.access_log import AccessLog
from gitops_ml.clients.gateway.shadow_traffic import Tally, read, spread
from gitops_ml.control.session import Progress
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.verification.statistics.blocks import Arms
from gitops_ml.core.verification.statistics.sequential import TrafficTest

WATCH_SECONDS = 2.0
"""How long one pass watches a candidate among users: a newer commit is seen between passes."""
MIRROR_SECONDS = 0.5
"""Seconds between two readings of the servers' counters."""


class RequestCounts:
    """Where requests are counted: one gateway on one engine, whose clock `now` gives."""

    def __init__(self, engine: Engine, gateway: str, now: Callable[[], datetime]) -> None:
        self._engine, self._gateway, self._now = engine, gateway, now

    def count(self, watch: plan.Watch, attempt: Attempt, test: TrafficTest, live: Sequence[Container]) -> Progress:
        """Feed requests to the test until it decides or `WATCH_SECONDS` are over. `live` are both sides' replicas."""
        slow = seconds(watch.traffic.slow) if watch.traffic.slow else None
        if watch.mirror:
            return self._count_mirrored(watch, attempt, test, live, slow)
        return self._count_logged(watch, attempt, test, slow)

    def _count_logged(self, watch: plan.Watch, attempt: Attempt, test: TrafficTest, slow: float | None) -> Progress:
        """Feed the requests of the gateway's log."""
        candidate, incumbent = watch.generation.fingerprint, watch.incumbent.fingerprint
        cursor = attempt.cursor
        log = AccessLog(self._engine, self._gateway, watch.deployment, cursor)
        for request in log.requests(WATCH_SECONDS):
            cursor = request.stamp
            if request.generation not in (candidate, incumbent):
                continue
            test.observe(candidate=request.generation == candidate, bad=request.bad(slow), at=request.ended)
            if test.decides(watch.alpha, watch.goal):
                break
        return Progress(cursor, log.lost)

    def _count_mirrored(
        self, watch: plan.Watch, attempt: Attempt, test: TrafficTest, live: Sequence[Container], slow: float | None
    ) -> Progress:
        """Feed what the servers have counted. The cursor of the result is the last reading of the counters, as JSON."""
        before = decode(attempt.cursor, dict[str, Tally]) if attempt.cursor[:1] == "{" else {}
        is_candidate = {c.alias: c.generation == watch.generation.fingerprint for c in live}
        servers = [
            (alias, watch.generation.port if candidate else watch.incumbent.port)
            for alias, candidate in is_candidate.items()
        ]
        deadline = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < deadline:
            now = read(self._engine, self._gateway, servers, slow)
            test.add(_arms(spread(before, now), is_candidate), self._now().timestamp())
            before = before | now
            if test.decides(watch.alpha, watch.goal):
                break
            time.sleep(MIRROR_SECONDS)
        return Progress(msgspec.json.encode(before).decode())


def _arms(counted: Mapping[str, Tally], is_candidate: Mapping[str, bool]) -> Arms:
    """Sum up what the servers of each side have answered, by alias."""
    candidates = [tally for alias, tally in counted.items() if is_candidate[alias]]
    incumbents = [tally for alias, tally in counted.items() if not is_candidate[alias]]
    return Arms(
        candidate=sum(t.requests for t in candidates),
        candidate_bad=sum(t.bad for t in candidates),
        incumbent=sum(t.requests for t in incumbents),
        incumbent_bad=sum(t.bad for t in incumbents),
    )
