"""Where the executor acts: one environment on one engine, with the lock held, and what its actions need beside a plan.

Everything that a mutation goes through passes here once: the lock is checked, the engine's clock is read, the journal
is written.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from time import monotonic
from typing import Protocol

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.lock import Lock
from gitops_ml.clients.engine.model_images import Builds
from gitops_ml.clients.gateway import container, routes
from gitops_ml.clients.gateway.journal import Journal
from gitops_ml.clients.gateway.snapshot import list_environment
from gitops_ml.core.generation import PORT, ContainerSpec, Generation
from gitops_ml.core.journal.entries import Judged
from gitops_ml.core.journal.fold import Checkpoint, Entry, encode, fold_entries
from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.errors import EngineFailed, Superseded


class Models(Protocol):
    """Where bytes come from: model artifacts and held-out rows, hashed before they are handed out."""

    def artifact(self, generation: Generation) -> Mapping[str, bytes]:
        """The files of a generation's model, by their path inside the artifact. Raises `VersionError`."""
        ...

    def data(self, commit: str, path: str, digest: str) -> bytes:
        """One data file as a commit pins it. Raises `VersionError`."""
        ...

    def trained_on(self, generation: Generation) -> frozenset[str]:
        """The digests of all that a generation's model was made of. Raises `VersionError`."""
        ...


class Session:
    """One environment on one engine, for the time of one pass.

    Args:
        snapshot: what was observed under the lock.
        state: what its journal adds up to.
        drain: how long a container that has lost its traffic may finish what it has, in seconds.
        builds: the images that are being made.
        report: receives one line for each thing that a person may want to see.
        superseded: whether a newer commit declares something else than a deployment's candidate.
        stop_from_outside: set by whoever wants the pass to end before its next step; the pass itself leaves it alone.
    """

    def __init__(
        self,
        *,
        engine: Engine,
        snapshot: Snapshot,
        state: EnvironmentState,
        lock: Lock,
        models: Models,
        builds: Builds,
        base: str,
        drain: float,
        pin_header: bool,
        report: Callable[[str], None],
        superseded: Callable[[str], bool] = lambda _: False,
        stop_from_outside: threading.Event | None = None,
    ) -> None:
        self.engine = engine
        self.project, self.environment = snapshot.project, snapshot.environment
        self.models = models
        self.builds = builds
        self.base = base
        self.drain = drain
        self.pin_header = pin_header
        self.report = report
        self._superseded = superseded
        self._stop_from_outside = stop_from_outside or threading.Event()
        self.stopping = threading.Event()
        self._lock = lock
        self._started = monotonic()
        self._at = snapshot.at
        self._gateway = snapshot.gateway.id if snapshot.gateway else ""
        self._journal = Journal(engine, self._gateway, snapshot.journal)
        self._state = state
        self._written: list[Entry] = []
        self._noted: list[Entry] = []
        self._images: dict[str, str] = {}
        self._writing = threading.Lock()

    @property
    def gateway(self) -> str:
        """The gateway's container."""
        return self._gateway

    @property
    def judged(self) -> bool:
        """Whether this pass has reached a verdict. That a candidate is cleared for its users is none: before they are
        sent to it, the tip is read anew.
        """
        return any(isinstance(entry, Judged) for entry in self._written)

    def open_attempt(self, deployment: str) -> Attempt | None:
        """The open rollout of a deployment, with all that this pass has written of it."""
        return fold_entries(self._written, self._state).of(deployment).open

    def check(self) -> None:
        """To be called before each mutation. Raises `LockLost` when the lock has gone, or the pass is being stopped."""
        self.go_on()
        self._lock.check()

    def go_on(self) -> None:
        """To be called while waiting. Raises `KeyboardInterrupt` when the pass is being stopped."""
        if self.stopping.is_set() or self._stop_from_outside.is_set():
            raise KeyboardInterrupt

    def wanted(self, deployment: str) -> None:
        """To be called while waiting for a candidate. Raises `Superseded` once a newer commit wants something else, and
        as `go_on`.
        """
        self.go_on()
        if self._superseded(deployment):
            raise Superseded(f"{self.environment}/{deployment}: a newer commit declares something else")

    def now(self) -> datetime:
        """The engine's clock: as the snapshot read it, and what has passed since."""
        return self._at + timedelta(seconds=monotonic() - self._started)

    def write(self, *entries: Entry) -> None:
        """Append to the journal. Nothing that an entry justifies may be done before this returns."""
        with self._writing:
            self._journal.append([encode(entry) for entry in (*self._noted, *entries)])
            self._noted.clear()
            self._written += entries

    def note(self, *entries: Entry) -> None:
        """Have entries written with the next ones, or by `flush`: those that justify nothing and may be lost."""
        with self._writing:
            self._noted += entries
            self._written += entries

    def flush(self) -> None:
        """Write what was noted and is not written yet."""
        if self._noted:
            self.write()

    def compact(self, names: Iterable[str]) -> None:
        """Sum these entries up, which are all that there are, so that the next look has less to read."""
        self.check()
        self._journal.compact(names, [encode(Checkpoint(at=self.at(), state=self._state))])

    def at(self) -> str:
        return self.now().isoformat()

    def ensure_gateway(self, spec: ContainerSpec, remove: tuple[str, ...]) -> None:
        """Make what is missing of the environment's network, volume and gateway, and have the gateway answer."""
        self.check()
        self._gateway = container.ensure_gateway(self.engine, spec, instead_of=remove)
        self._journal = self._journal.moved_to(self._gateway)

    def containers(self, deployment: str) -> list[Container]:
        """The replicas of a deployment as they are now, in a stable order."""
        found = list_environment(self.engine, self.project, self.environment)
        mine = [c for c in found if c.role == "replica" and c.deployment == deployment]
        return sorted(mine, key=lambda c: (c.generation, c.replica, c.created, c.id))

    def switch(self, deployment: str, route: bytes) -> None:
        """Replace a deployment's route file, and return when the gateway has loaded it."""
        self.check()
        routes.switch(self.engine, self._gateway, deployment, route)

    def unroute(self, deployment: str) -> None:
        self.check()
        routes.remove_route(self.engine, self._gateway, deployment)

    def drained(self, aliases: list[str]) -> int:
        """Wait until these servers have no request in flight; how many they still had when the drain was over."""
        servers = [(alias, PORT) for alias in aliases]
        return routes.drained(self.engine, self._gateway, servers, deadline=self.drain).cut

    def remember_image(self, generation: Generation, image_id: str) -> None:
        self._images[generation.fingerprint] = image_id

    def image_of(self, generation: Generation) -> str:
        """The image that a generation is to run. Raises `EngineFailed` when no step of the plan has made it."""
        found = self._images.get(generation.fingerprint) or generation.image_id
        if not found:
            raise EngineFailed(
                f"{generation.deployment} {generation.fingerprint} has no image",
                why="it was not built",
                fix=f"gitops-ml sync {self.environment}",
            )
        return found

    @staticmethod
    def suffix() -> str:
        """What makes the name of a new container its own."""
        return secrets.token_hex(3)
