"""Reads the metrics of every replica of the agent's environments, each on its own: a route would choose one by weight.

Each environment has a connection of its own for that, which no pass uses, and is read by one thread at a time. So an
engine that hangs delays neither passes nor what other environments tell.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from gitops_ml.clients import background
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.server_metrics import read_metrics
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.view import View
from gitops_ml.core import generation as names

WITHIN = 8.0
"""Seconds that a reading may take; Prometheus waits 10 by default."""
FRESH = 2.0
"""Seconds for which a reading is used again: Prometheus asks for each replica by itself where it discovers them."""
_ONE_SERVER = 1
"""Seconds that one server may take to answer."""
_LONGEST = 256 << 10
"""Bytes of one server's metrics; ours gives 6 KB."""
_AT_ONCE, _IN_A_ROW = 4, 6
"""How many threads ask, and how many servers each call asks one after the other."""
_log = logging.getLogger("gitops_ml.agent")


class Replica(NamedTuple):
    """One replica, by the labels that its metrics get. `generation`: its fingerprint."""

    environment: str
    deployment: str
    version: str
    generation: str
    replica: str


Reading = Mapping[Replica, str]
"""What each replica that runs answers at /metrics; empty if it does not answer."""


class ReplicaMetrics:
    """Reads the metrics of replicas of the environments on the status board."""

    def __init__(self, board: StatusBoard) -> None:
        self._board = board
        self._lock = threading.Lock()
        self._readers: dict[str, _Reader] = {}

    def read(self, only: str | None = None) -> dict[str, Reading | None]:
        """Read all environments, or one, side by side; None for one whose replicas cannot be read in time."""
        views = {name: status.view for name, status in self._board.read().environments.items() if status.view}
        with self._lock:
            for name in self._readers.keys() - views.keys():
                background.begin(self._readers.pop(name).close)
            wanted = [name for name in views if only in (None, name)]
            readers = {name: self._readers.setdefault(name, _Reader()) for name in wanted}
        begun = {name: reader.begin(views[name]) for name, reader in readers.items()}
        deadline = time.monotonic() + WITHIN
        return {name: _result(name, future, deadline) for name, future in begun.items()}


class _Reader:
    """Reads one environment, once at a time; a reading under way or a fresh one is shared."""

    def __init__(self) -> None:
        self._connection = Connection()
        self._lock = threading.Lock()
        self._reading: Future[Reading] | None = None
        self._ended = 0.0

    def begin(self, view: View) -> Future[Reading]:
        with self._lock:
            reading = self._reading
            if reading is None or (reading.done() and time.monotonic() - self._ended > FRESH):
                reading = self._reading = background.begin(lambda: self._read(view))
            return reading

    def close(self) -> None:
        self._connection.close()

    def _read(self, view: View) -> Reading:
        try:
            reading = _read(self._connection.to(view.source.files), view)
            self._connection.end_pass()
            return reading
        except BaseException:
            self._connection.close()  # the next reading connects anew
            raise
        finally:
            self._ended = time.monotonic()


def _result(environment: str, reading: Future[Reading], deadline: float) -> Reading | None:
    try:
        return background.result_within(reading, max(0.0, deadline - time.monotonic()))
    except Exception as error:  # an engine that is lost is told by the pass over its environment
        _log.debug("the metrics of %s could not be read", environment, exc_info=error)
        return None


def _read(engine: Engine, view: View) -> Reading:
    """Read the replicas that run now; the view may be older than they are. Raises as the engine does."""
    listed = engine.list_containers(names.owner_labels(view.desired.project, view.desired.name, "replica"))
    labels = [container["Labels"] for container in listed if container["State"] == "running"]
    replicas = {
        each[names.ALIAS]: Replica(
            view.desired.full_name,
            *(each.get(name, "") for name in (names.DEPLOYMENT, names.VERSION, names.GENERATION, names.REPLICA)),
        )
        for each in labels
        if each.get(names.ALIAS)
    }
    gateway = view.snapshot.gateway
    if gateway is None or not replicas:
        return dict.fromkeys(replicas.values(), "")
    ports = _ports(view)
    servers = [(alias, ports.get(replica.generation, names.PORT)) for alias, replica in sorted(replicas.items())]
    chunks = [servers[start : start + _IN_A_ROW] for start in range(0, len(servers), _IN_A_ROW)]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        ask = partial(read_metrics, engine, gateway.id, longest=_LONGEST, seconds=_ONE_SERVER)
        read = [threads.submit(ask, chunk) for chunk in chunks]
        answers = {alias: text for each in read for alias, text in each.result().items()}
    return {replica: answers.get(alias, "") for alias, replica in replicas.items()}


def _ports(view: View) -> dict[str, int]:
    """The port of each generation that is known."""
    generations = [deployment.generation for deployment in view.wanted.values()]
    for state in view.state.deployments.values():
        attempts = [*state.attempts, *([state.open] if state.open else [])]
        generations += [attempt.generation for attempt in attempts] + ([state.serving] if state.serving else [])
    return {each.fingerprint: each.port for each in generations}
