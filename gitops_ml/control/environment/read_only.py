"""One environment on one engine as checks ask about it: the `ReadOnlySession`. It needs no lock.

It changes nothing that serves. It may start containers of its own for a moment, and build the image that they run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from gitops_ml.clients.artifacts.source import ModelSource
from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.snapshot import list_environment
from gitops_ml.control.environment.view import View
from gitops_ml.control.events import cleaned
from gitops_ml.control.servers import EngineServers, ServersPlace
from gitops_ml.core.generation import Generation
from gitops_ml.core.observed import Container
from gitops_ml.core.text import clean


class ReadOnlyEngineSession:
    """One environment on one engine, for questions alone.

    Args:
        view: what was observed; its snapshot sets the clock.
        models: where models and held-out rows come from.
        report: receives each text that a person may want to see.
        stopping: set by whoever wants the questions to end.
        locked: whether the environment's lock is held; see `ProbePlace`.
    """

    def __init__(
        self,
        engine: Engine,
        view: View,
        models: ModelSource,
        report: Callable[[str], None],
        stopping: threading.Event,
        *,
        locked: bool = False,
    ) -> None:
        snapshot = view.snapshot
        self.project, self.environment = snapshot.project, view.desired.full_name
        self._short_name = snapshot.environment
        self.models = models
        self._engine, self._report, self._external_stop = engine, report, stopping
        self._started, self._at = time.monotonic(), snapshot.at
        self._gateway = snapshot.gateway.id if snapshot.gateway else ""
        place = ServersPlace(
            engine=engine, project=self.project, environment=self._short_name, base=BASE_IMAGE, locked=locked
        )
        self.servers = EngineServers(place, gateway=lambda: self._gateway, check=self._check, now=self.now)

    def go_on(self) -> None:
        """See `ReadOnlySession.go_on`."""
        if self._external_stop.is_set():
            raise KeyboardInterrupt

    def _check(self) -> None:
        """Call this before a probe is made."""
        self.go_on()

    def require_wanted(self, candidate: Generation) -> None:
        """See `ReadOnlySession.require_wanted`. Without a rollout, nothing is superseded."""
        self.go_on()

    def report(self, text: str) -> None:
        """See `ReadOnlySession.report`."""
        self._report(cleaned(text))

    def now(self) -> datetime:
        """See `ReadOnlySession.now`: the clock as the snapshot read it, and the time since."""
        return self._at + timedelta(seconds=time.monotonic() - self._started)

    def containers(self, deployment: str) -> list[Container]:
        """See `ReadOnlySession.containers`."""
        replicas = [c for c in list_environment(self._engine, self.project, self._short_name) if c.role == "replica"]
        return sorted(
            (c for c in replicas if c.deployment == deployment),
            key=lambda c: (c.generation, c.replica, c.created, c.id),
        )

    def restarts(self, container: Container) -> int:
        """See `ReadOnlySession.restarts`."""
        inspected = self._engine.inspect_container(container.id)
        return int(inspected["RestartCount"]) if inspected else 0

    def logs(self, containers: Sequence[Container], tail: int) -> str:
        """See `ReadOnlySession.logs`."""
        return clean("\n".join(self._engine.logs(c.id, tail=tail) for c in containers))
