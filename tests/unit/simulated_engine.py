"""The engine and the gateway of a host in memory: what is there, and one mutation at a time.

It watches at each of them what must never happen: that a container goes which users are sent to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import msgspec

from gitops_ml.core.journal.entries import Intent
from gitops_ml.core.journal.fold import Entry, encode, fold_entries
from gitops_ml.core.journal.state import DeploymentState
from gitops_ml.core.observed import Backend, Container, Snapshot
from gitops_ml.core.planning.route import revision_of
from tests.unit.builders import ENVIRONMENT, NOW, PROJECT


class Killed(BaseException):
    """The process dies here."""


class Unsafe(AssertionError):
    """Something happened that must never happen."""


@dataclass
class Engine:
    """One environment on one engine.

    `step` is called before each mutation, and may raise `Killed` or a `GitopsError`.
    """

    step: Callable[[], None] = lambda: None
    containers: dict[str, Container] = field(default_factory=dict)
    routes: dict[str, bytes] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    raised: bool = False
    seconds: int = 0

    def snapshot(self) -> Snapshot:
        found = tuple(self.containers.values())
        up = any(c.role == "gateway" and c.state == "running" for c in found)
        serving = [c for c in found if c.role == "replica" and c.state == "running"]
        return Snapshot(
            engine="engine-1",
            at=NOW + timedelta(seconds=self.seconds),
            project=PROJECT,
            environment=ENVIRONMENT,
            containers=found,
            network="network-1" if self.raised else None,
            volume=self.raised,
            base_id="sha256:base",
            routes=dict(self.routes),
            loaded={n: revision_of(r) or "" for n, r in self.routes.items()} if up else {},
            backends={c.alias: Backend(alias=c.alias, up=True) for c in serving} if up else {},
            journal={f"{n:010d}.json": encode(entry) for n, entry in enumerate(self.entries, 1)},
        )

    def state(self, name: str) -> DeploymentState:
        return fold_entries(self.entries).of(name)

    def replicas(self, name: str) -> list[Container]:
        return [c for c in self.containers.values() if c.role == "replica" and c.deployment == name]

    def serves(self, name: str) -> list[str]:
        """The generations of the running containers that users of a deployment are sent to."""
        sent = self.routes.get(name, b"")
        return sorted(c.generation for c in self.replicas(name) if c.alias.encode() in sent and c.state == "running")

    def _at(self) -> str:
        return (NOW + timedelta(seconds=self.seconds)).isoformat()

    def _write(self, entry: Entry) -> None:
        self.step()
        self.entries.append(entry)

    def _end(self, name: str, *, gone: bool, leave: bool) -> None:
        """Stop or remove a container. `leave`: it is not drained, so nobody may be sent to it while it runs."""
        self.step()
        found = self.containers.get(name)
        if found is None:
            return
        sent = found.alias and found.alias.encode() in self.routes.get(found.deployment, b"")
        recreated = any(
            isinstance(e, Intent) and e.strategy == "recreate" and e.generation.deployment == found.deployment
            for e in self.entries
        )
        if found.state == "running" and sent and not recreated:
            verb = "removed" if leave and gone else "stopped" if leave else "retired"
            raise Unsafe(f"{name} is {verb} while users are sent to it")
        if gone:
            self.containers.pop(name)
        else:
            self._become(name, "exited")

    def _become(self, name: str, state: str) -> None:
        self.containers[name] = msgspec.structs.replace(self.containers[name], state=state)

    def _verified(self, name: str) -> set[str]:
        known = self.state(name)
        found = {a.generation.fingerprint for a in known.attempts if a.outcome == "promoted"}
        if known.open and known.open.verdict == "Verified":
            found.add(known.open.generation.fingerprint)
        return found

    # --- what others do to it

    def kill(self, name: str) -> None:
        self._become(name, "exited")

    def take_away(self, name: str) -> None:
        self.containers.pop(name)

    def tamper(self, name: str) -> None:
        found = self.containers[name]
        if found.facts:
            facts = msgspec.structs.replace(found.facts, memory=1)
            self.containers[name] = msgspec.structs.replace(found, facts=facts)
