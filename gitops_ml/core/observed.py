"""Observed state: a dated snapshot of what the engine and the gateway run.

The world is looked at once, before planning, into these frozen structs; nothing that plans asks the engine again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from gitops_ml.core import generation as names


class ContainerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What one container is, as the engine itself says it: the facts that drift is found in.

    `env` holds what differs from the image's own; `cpus` in cores, `memory` in bytes; `mounts` maps a target to its
    source and mode, as `<volume or path>:<rw|ro>`.
    """

    image_id: str
    command: tuple[str, ...] | None
    entrypoint: tuple[str, ...] | None
    env: dict[str, str]
    mounts: dict[str, str]
    tmpfs: tuple[str, ...]
    cpus: float
    memory: int
    pids: int
    restart: str
    user: str
    read_only: bool
    cap_drop: tuple[str, ...]
    cap_add: tuple[str, ...]
    privileged: bool
    no_new_privileges: bool
    ports: dict[int, tuple[str, int]]
    aliases: tuple[str, ...]


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One container of ours. `facts` is None where a constant number of calls could not tell them anew."""

    id: str
    name: str
    image_id: str
    state: Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]
    created: int
    labels: dict[str, str]
    networks: tuple[str, ...]
    facts: ContainerFacts | None = None

    @property
    def role(self) -> str:
        return self.labels.get(names.ROLE, "")

    @property
    def deployment(self) -> str:
        return self.labels.get(names.DEPLOYMENT, "")

    @property
    def generation(self) -> str:
        return self.labels.get(names.GENERATION, "")

    @property
    def alias(self) -> str:
        return self.labels.get(names.ALIAS, "")

    @property
    def replica(self) -> int:
        text = self.labels.get(names.REPLICA, "")
        return int(text) if text.isdigit() else -1


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """A server that the gateway forwards to, and whether its health check passes."""

    alias: str
    up: bool


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """One environment on one engine at one time (the engine's own clock).

    `routes` are the route files as they lie in the gateway's volume, by deployment; `loaded` is what the gateway says
    that it has loaded, by deployment, as the revision of the route file; `backends` is what it says of each server,
    by alias. `unresponsive` are running replicas that answered no health check, asked again and again: container ID to
    the seconds since the process started. `journal` holds the entries of the journal, by file name.
    """

    engine: str
    at: datetime
    project: str
    environment: str
    containers: tuple[Container, ...] = ()
    network: str | None = None
    volume: bool = False
    base_id: str | None = None
    routes: dict[str, bytes] = {}
    loaded: dict[str, str] = {}
    backends: dict[str, Backend] = {}
    unresponsive: dict[str, float] = {}
    journal: dict[str, bytes] = {}

    @property
    def gateway(self) -> Container | None:
        """The gateway's container, the newest if there are several."""
        return max(self.of_role("gateway"), key=lambda c: (c.created, c.id), default=None)

    def of_role(self, *roles: str) -> list[Container]:
        """The containers of these roles that carry this project's and this environment's label, and no others."""
        return [
            c
            for c in self.containers
            if c.role in roles
            and c.labels.get(names.PROJECT) == self.project
            and c.labels.get(names.ENVIRONMENT) == self.environment
        ]

    @property
    def gateway_runs(self) -> bool:
        return self.gateway is not None and self.gateway.state == "running"

    def replicas(self, deployment: str) -> tuple[Container, ...]:
        """The replicas of a deployment, of every generation, in a stable order."""
        found = [c for c in self.of_role("replica") if c.deployment == deployment]
        return tuple(sorted(found, key=lambda c: (c.generation, c.replica, c.created, c.id)))
