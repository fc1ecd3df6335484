"""The engine and the gateway of a host in memory: what is there, and one mutation at a time.

At each mutation it checks what must never happen: that users are sent to what was not verified, or that a container
with users goes away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from gitops_ml.core.generation import DEPLOYMENT, ContainerSpec
from gitops_ml.core.journal.entries import Intent
from gitops_ml.core.journal.fold import Entry, encode, fold_entries
from gitops_ml.core.journal.state import DeploymentState, EnvironmentState
from gitops_ml.core.observed import Backend, Container, Snapshot
from gitops_ml.core.planning.index import INDEX
from gitops_ml.core.planning.route import revision_of
from gitops_ml.errors import EngineFailed, LockHeld
from tests.unit.builders import ENVIRONMENT, NOW, PROJECT, container


class Killed(BaseException):
    """The process dies here."""


class Unsafe(AssertionError):
    """Something happened that must never happen."""


@dataclass
class Engine:
    """One environment on one engine.

    `step` is called before each mutation with the deployment that it is about (empty for the environment), and may
    raise `Killed` or any error. `unsafe` collects what must never happen. `locked_until`: when the lock is free again.
    """

    step: Callable[[str], None] = lambda deployment: None
    containers: dict[str, Container] = field(default_factory=dict)
    routes: dict[str, bytes] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    has_network: bool = False
    seconds: float = 0.0
    unsafe: list[str] = field(default_factory=list)
    made: int = 0
    locked_until: float = 0.0
    _read: list[Entry] = field(default_factory=list)
    _state: EnvironmentState = field(default_factory=EnvironmentState)
    _files: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the environment's lock."""
        if self.seconds < self.locked_until:
            raise LockHeld("another pass holds the lock")
        self.locked_until = math.inf
        try:
            yield
        finally:
            self.locked_until = 0.0

    def snapshot(self) -> Snapshot:
        containers = tuple(self.containers.values())
        up = any(c.role == "gateway" and c.state == "running" for c in containers)
        serving = [c for c in containers if c.role == "replica" and c.state == "running"]
        return Snapshot(
            engine="engine-1",
            at=self.now(),
            project=PROJECT,
            environment=ENVIRONMENT,
            containers=containers,
            network="network-1" if self.has_network else None,
            volume=self.has_network,
            base_id="sha256:base",
            routes={name: content for name, content in self.routes.items() if name != INDEX},
            index=self.routes.get(INDEX, b""),
            loaded={n: revision_of(r) or "" for n, r in self.routes.items()} if up else {},
            backends={c.alias: Backend(alias=c.alias, up=True) for c in serving} if up else {},
            journal=dict(self._journal()[0]),
        )

    def state(self, name: str) -> DeploymentState:
        return self.environment_state().of(name)

    def environment_state(self) -> EnvironmentState:
        return self._journal()[1]

    def _journal(self) -> tuple[dict[str, bytes], EnvironmentState]:
        """The journal's files and their state. Entries are encoded and folded once: stories have thousands of looks."""
        known = len(self._read)
        if len(self.entries) < known or any(a is not b for a, b in zip(self._read, self.entries, strict=False)):
            self._read, self._state, self._files, known = [], EnvironmentState(), {}, 0
        new = self.entries[known:]
        self._files.update((f"{n:010d}.json", encode(entry)) for n, entry in enumerate(new, known + 1))
        self._state = fold_entries(new, self._state)
        self._read += new
        return self._files, self._state

    def replicas(self, name: str) -> list[Container]:
        return [c for c in self.containers.values() if c.role == "replica" and c.deployment == name]

    def serves(self, name: str) -> list[str]:
        """The generations of the running containers that users of a deployment are sent to."""
        sent = self.routes.get(name, b"")
        return sorted(c.generation for c in self.replicas(name) if c.alias.encode() in sent and c.state == "running")

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    # --- mutations

    def append(self, entries: Sequence[Entry]) -> None:
        self.step(_subject(entries[-1]))
        self.entries += entries

    def create(self, spec: ContainerSpec, image: str) -> str:
        self.step(spec.labels[DEPLOYMENT])
        self.made += 1
        created = container(spec, image_id=image, state="created", created=round(self.seconds))
        self.containers[created.id] = created
        return created.id

    def start(self, name: str) -> None:
        self.step(self._deployment(name))
        if name not in self.containers:
            raise EngineFailed(f"{name} is gone")
        self.become(name, "running")

    def stop(self, name: str) -> None:
        self._require_no_users(name, "stopped")
        self.step(self._deployment(name))
        if name in self.containers:
            self.become(name, "exited")

    def remove(self, name: str) -> None:
        self._require_no_users(name, "removed")
        self.step(self._deployment(name))
        self.containers.pop(name, None)

    def switch(self, deployment: str, content: bytes) -> None:
        self.step(deployment)
        routed = {c.generation for c in self.replicas(deployment) if c.alias.encode() in content}
        for generation in routed - self._allowed(deployment):
            self._refuse(f"users are sent to {generation}, which has not passed its checks")
        self.routes[deployment] = content

    def unroute(self, deployment: str) -> None:
        self.step(deployment)
        self.routes.pop(deployment, None)

    def ensure_gateway(self, spec: ContainerSpec, remove: Sequence[str], keep: str) -> None:
        for name in remove:
            self.step("")
            self.containers.pop(name, None)
        if keep:
            return
        self.step("")
        self.has_network = True
        created = container(spec, image_id="sha256:traefik", created=round(self.seconds))
        self.containers[created.id] = created

    def _require_no_users(self, name: str, verb: str) -> None:
        found = self.containers.get(name)
        if found is None or found.state != "running" or not found.alias:
            return
        recreated = any(
            isinstance(e, Intent) and e.strategy == "recreate" and e.generation.deployment == found.deployment
            for e in self.entries
        )
        if found.alias.encode() in self.routes.get(found.deployment, b"") and not recreated:
            self._refuse(f"{name} is {verb} while users are sent to it")

    def _allowed(self, name: str) -> set[str]:
        """The generations that users may be sent to: verified ones, and a candidate that traffic decides on."""
        state = self.state(name)
        allowed = {a.generation.fingerprint for a in state.attempts if a.outcome == "promoted"}
        if state.open and (state.open.cleared or state.open.verdict == "Verified"):
            allowed.add(state.open.generation.fingerprint)
        return allowed

    def _refuse(self, what: str) -> None:
        self.unsafe.append(what)
        raise Unsafe(what)

    def _deployment(self, name: str) -> str:
        return self.containers[name].deployment if name in self.containers else ""

    def become(self, name: str, state: str) -> None:
        self.containers[name] = msgspec.structs.replace(self.containers[name], state=state)

    # --- what others do to it

    def kill(self, name: str) -> None:
        self.become(name, "exited")

    def take_away(self, name: str) -> None:
        self.containers.pop(name)

    def tamper(self, name: str) -> None:
        found = self.containers[name]
        if found.facts:
            facts = msgspec.structs.replace(found.facts, memory=1)
            self.containers[name] = msgspec.structs.replace(found, facts=facts)


def _subject(entry: Entry) -> str:
    """The deployment that a journal entry is about; empty for the environment."""
    if isinstance(entry, Intent):
        return entry.generation.deployment
    return getattr(entry, "deployment", "")
