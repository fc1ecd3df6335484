"""One environment on one engine, with its lock held: the `Session` of the executor.

Everything that a mutation goes through passes here once: the lock is checked, the engine's clock is read, the journal
is written.
"""

from __future__ import annotations

import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from gitops_ml.clients import background
from gitops_ml.clients.artifacts.source import ModelSource
from gitops_ml.clients.engine.building.model_images import Builds
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.lock import Lock
from gitops_ml.clients.gateway import routes
from gitops_ml.clients.gateway.journal import Journal
from gitops_ml.clients.gateway.replacement import ensure_gateway, keep_gateway
from gitops_ml.clients.signing import require_never_signed, sign_candidate
from gitops_ml.control.environment.read_only import ReadOnlyEngineSession
from gitops_ml.control.environment.view import View
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.generation import ALIAS, PATTERN, PORT, Generation, replica_spec
from gitops_ml.core.journal.fold import Checkpoint, Entry, encode, fold_entries
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.observed import Container
from gitops_ml.core.operator_settings import read_settings, require_secrets
from gitops_ml.core.planning import plan
from gitops_ml.core.signed_statement import SignedStatement
from gitops_ml.errors import EngineFailed, Superseded

Result = TypeVar("Result")
_LOOK_EVERY = 0.25


@dataclass(frozen=True)
class Artifacts:
    """The models of a repository, and the images that are made of them on one engine."""

    models: ModelSource
    builds: Builds


class EngineSession(ReadOnlyEngineSession):
    """One environment on one engine, for the time of one pass.

    Args:
        view: what was observed under the lock.
        artifacts: where models and their images come from.
        report: receives each text that a person may want to see.
        stopping: set by whoever wants the pass to stop.
    """

    def __init__(
        self,
        engine: Engine,
        lock: Lock,
        view: View,
        artifacts: Artifacts,
        report: Callable[[str], None],
        stopping: threading.Event,
    ) -> None:
        super().__init__(engine, view, artifacts.models, report, stopping, locked=True)
        settings = view.desired.environment.gateway
        self.pin_header = settings.pin_header
        self._drain_seconds = seconds(settings.drain)
        self._lock, self._builds = lock, artifacts.builds
        self._stopping = threading.Event()
        self._superseded: set[tuple[str, str]] = set()
        self._journal = Journal(engine, self._gateway, view.snapshot.journal)
        self._state = view.state
        self._unwritten: list[bytes] = []
        self._writing = threading.RLock()
        self._images: dict[str, str] = {}

    # --- the pass itself

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        """See `Session.begin`."""
        return background.begin(work)

    def stop(self) -> None:
        """See `Session.stop`."""
        self._stopping.set()

    def go_on(self) -> None:
        """See `ReadOnlySession.go_on`."""
        super().go_on()
        if self._stopping.is_set():
            raise KeyboardInterrupt

    def require_wanted(self, candidate: Generation) -> None:
        """See `ReadOnlySession.require_wanted`."""
        self.go_on()
        if (candidate.deployment, candidate.fingerprint) in self._superseded:
            raise Superseded(f"{self.environment}/{candidate.deployment}: a newer commit declares something else")

    def supersede(self, deployment: str, fingerprint: str) -> None:
        """See `Session.supersede`."""
        self._superseded.add((deployment, fingerprint))

    def _check(self) -> None:
        """Call this before each mutation."""
        self.go_on()
        self._lock.check()

    # --- the journal

    @property
    def state(self) -> EnvironmentState:
        """See `Session.state`."""
        return self._state

    def write(self, *entries: Entry) -> None:
        """See `Session.write`."""
        with self._writing:
            self._lock.check()
            self._journal.append([*self._unwritten, *(encode(entry) for entry in entries)])
            self._unwritten.clear()
            self._state = fold_entries(entries, self._state)

    def note(self, *entries: Entry) -> None:
        """See `Session.note`."""
        with self._writing:
            self._unwritten += [encode(entry) for entry in entries]
            self._state = fold_entries(entries, self._state)

    def flush(self) -> None:
        """See `Session.flush`."""
        with self._writing:
            if self._unwritten:
                self.write()

    def compact(self, names: Iterable[str]) -> None:
        """Replace these entries, which are all that the journal has, by their sum: the next look has less to read."""
        self._check()
        self._journal.compact(names, [encode(Checkpoint(at=self.now().isoformat(), state=self._state))])

    # --- containers

    def image(self, generation: Generation) -> str:
        """See `Session.image`."""
        if generation.pattern == "image":
            image = self._engine.image_id(generation.image) or self._pull(generation)
        else:
            image = self._builds.image(generation, lambda: self.require_wanted(generation))
        self._images[generation.fingerprint] = image
        return image

    def sign(self, candidate: Generation) -> SignedStatement | None:
        """See `Session.sign`."""
        if not candidate.published:
            return None
        key, state = read_settings(os.environ).signing_key, self._state.of(candidate.deployment)
        if not key:
            require_never_signed(state, candidate)
            return None
        files = self.models.artifact(candidate)
        return sign_candidate(candidate, state, files, self.now(), key, f"{self.project}/{self._short_name}")

    def _pull(self, generation: Generation) -> str:
        """Pull a generation's image. A pass that is stopped does not wait for the end of the pull."""
        pull = background.begin(lambda: self._engine.pull(generation.image))
        return background.result_within(pull, math.inf, lambda: self.require_wanted(generation))

    def create(self, generation: Generation, replica: int) -> str:
        """See `Session.create`."""
        image = self._images.get(generation.fingerprint) or generation.image_id
        if not image:
            raise EngineFailed(
                f"{generation.deployment} {generation.fingerprint} has no image",
                why="it was not built",
                fix=f"gitops-ml sync {self.environment}",
            )
        require_secrets(generation.deployment, generation.secrets, read_settings(os.environ))
        rollout = self._state.of(generation.deployment).open
        if rollout and rollout.generation.fingerprint == generation.fingerprint:
            # The plan was made before its candidate was built and signed.
            generation = msgspec.structs.replace(generation, signed=rollout.generation.signed)
        spec = replica_spec(
            msgspec.structs.replace(generation, image_id=image),
            project=self.project,
            environment=self._short_name,
            replica=replica,
            suffix=secrets.token_hex(3),
            drain=self._drain_seconds,
        )
        self._check()
        return self._engine.create(spec)

    def start(self, container: str) -> None:
        """See `Session.start`."""
        self._check()
        self._interruptible(lambda: self._engine.start(container))

    def drain(self, containers: Sequence[Container]) -> None:
        """See `Session.drain`. Requests that outlast the environment's drain are counted, and reported.

        Only our own server tells how many requests it has in flight; other images get the whole drain, uncounted. After
        the drain each container is asked to end, and killed when it has not ended within the same time again.
        """
        running = [c for c in containers if c.state == "running"]
        ours = [(c.labels.get(ALIAS, ""), PORT) for c in running if c.labels.get(PATTERN) == "service"]
        late = 0
        if ours:
            late = self._interruptible(
                lambda: routes.wait_until_drained(self._engine, self._gateway, ours, deadline=self._drain_seconds)
            ).in_flight
        if len(ours) < len(running):
            self._sleep(self._drain_seconds)
        if late:
            name, drain = f"{self.environment}/{running[0].deployment}", self._drain_seconds
            self.report(f"late {name}: requests that outlasted the drain of {drain:g} s and have as long again: {late}")
        for container in running:
            self._check()
            self._stop_container(container.id, max(1, round(self._drain_seconds)))

    def _stop_container(self, container: str, grace: int) -> None:
        self._interruptible(lambda: self._engine.stop(container, grace))

    def _interruptible(self, work: Callable[[], Result]) -> Result:
        """Wait for a long call of the engine, unless the pass is being stopped; the call then goes on by itself."""
        return background.result_within(background.begin(work), math.inf, self.go_on)

    def _sleep(self, span: float) -> None:
        """Sleep for `span` seconds, unless the pass is being stopped."""
        deadline = time.monotonic() + span
        while (left := deadline - time.monotonic()) > 0:
            self.go_on()
            time.sleep(min(left, _LOOK_EVERY))

    def remove(self, container: str, grace: int = 0) -> None:
        """See `Session.remove`."""
        self._check()
        if grace:
            self._stop_container(container, grace)
        self._engine.remove(container, force=True)

    # --- the gateway

    def ensure_gateway(self, action: plan.EnsureGateway) -> None:
        """See `Session.ensure_gateway`."""
        self._check()
        with self._writing:
            if action.keep:
                keep_gateway(self._engine, action.spec, action.keep, action.remove)
                self._gateway = action.keep
            else:
                self._gateway = ensure_gateway(self._engine, action.spec, instead_of=action.remove)
            self._journal = self._journal.moved_to(self._gateway)

    def tidy(self, files: Sequence[str]) -> None:
        """See `Session.tidy`."""
        self._check()
        routes.tidy(self._engine, self._gateway, files)

    def switch(self, deployment: str, route: bytes) -> None:
        """See `Session.switch`."""
        self._check()
        routes.switch(self._engine, self._gateway, deployment, route)

    def unroute(self, deployment: str) -> None:
        """See `Session.unroute`."""
        self._check()
        routes.remove_route(self._engine, self._gateway, deployment)
