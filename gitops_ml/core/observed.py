"""Observed state: a dated snapshot of what the engine and the gateway run.

The host is observed once, before planning, into these frozen structs. Planning never asks the engine.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Literal

import msgspec

from gitops_ml.core import generation as names


class ContainerFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A container as the engine describes it, to find drift in.

    `env` holds the variables that differ from the image's own. `cpus` is in cores, `memory` in bytes. `mounts` maps a
    path inside to `<volume or path>:<rw|ro>`. `restarts`: how often the engine started the container again after it
    ended; `started`: when it did last, ISO 8601; `out_of_memory`: whether a process of it was ever killed for memory.
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
    gpus: int = 0
    restarts: int = 0
    started: str = ""
    out_of_memory: bool = False


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One container of ours. `facts` is None if it was not inspected in this pass."""

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
    def expires(self) -> float | None:
        """Seconds that this container may live; None if its label does not say."""
        try:
            return float(self.labels[names.EXPIRES])
        except (KeyError, ValueError):
            return None

    @property
    def replica(self) -> int:
        text = self.labels.get(names.REPLICA, "")
        return int(text) if text.isdigit() else -1


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """A server that the gateway forwards to. `up`: its health check passes."""

    alias: str
    up: bool


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One environment on one engine at one time, by the engine's own clock.

    `cpus` is how many the engine's host has; 0 if that is not known. `gpus` is how many the engine offers; None if it
    offers some, and does not say how many. `routes` holds the route files on the
    gateway's volume, by deployment, `index` the file of its bare port, and `strays` what else is in their folder,
    by its path there. `loaded` holds the revision of the route that the gateway has loaded, by deployment, and
    `backends` the servers that it knows, by alias. `unresponsive` holds the running replicas that answered no
    health check, by container id, with the seconds since the process started. `journal` holds the journal's files,
    by name.
    """

    engine: str
    at: datetime
    project: str
    environment: str
    containers: tuple[Container, ...] = ()
    network: str | None = None
    volume: bool = False
    base_id: str | None = None
    cpus: int = 0
    gpus: int | None = 0
    routes: dict[str, bytes] = {}
    index: bytes = b""
    strays: tuple[str, ...] = ()
    loaded: dict[str, str] = {}
    backends: dict[str, Backend] = {}
    unresponsive: dict[str, float] = {}
    journal: dict[str, bytes] = {}

    @property
    def gateway(self) -> Container | None:
        """The gateway's container; the newest if there are several."""
        return max(self.of_role("gateway"), key=lambda c: (c.created, c.id), default=None)

    @cached_property
    def _own(self) -> dict[str, list[Container]]:
        """The containers with this project's and this environment's labels, by role."""
        own: dict[str, list[Container]] = {}
        for c in self.containers:
            if (c.labels.get(names.PROJECT), c.labels.get(names.ENVIRONMENT)) == (self.project, self.environment):
                own.setdefault(c.role, []).append(c)
        return own

    @cached_property
    def _replicas(self) -> dict[str, list[Container]]:
        """The replicas by deployment. A plan asks for those of each deployment, several times."""
        replicas: dict[str, list[Container]] = {}
        for c in self.of_role("replica"):
            replicas.setdefault(c.deployment, []).append(c)
        return replicas

    def of_role(self, *roles: str) -> list[Container]:
        """The containers of these roles with this project's and this environment's labels."""
        return [c for role in roles for c in self._own.get(role, ())]

    @property
    def gateway_runs(self) -> bool:
        return self.gateway is not None and self.gateway.state == "running"

    def replicas(self, deployment: str) -> tuple[Container, ...]:
        """The replicas of a deployment, of every generation, in a stable order."""
        replicas = self._replicas.get(deployment, ())
        return tuple(sorted(replicas, key=lambda c: (c.generation, c.replica, c.created, c.id)))
