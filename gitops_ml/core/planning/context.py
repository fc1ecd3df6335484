"""One deployment in one pass: what is declared, what the journal says, and which of its containers can serve.

Healing, rollouts and status all ask this module which containers can serve, so that they never disagree.
"""

from __future__ import annotations

import functools
from datetime import datetime

import msgspec

from gitops_ml.core.declaration.schema import Desired, ResolvedDeployment
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.declaration.windows import Window
from gitops_ml.core.generation import ContainerSpec, Generation, replica_spec
from gitops_ml.core.journal.state import DeploymentState, quarantine_key
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.drift import container_drift
from gitops_ml.core.planning.route import revision_of, route_file

Steps = list[plan.Action]
HANGING_GRACE = 5
"""Seconds that a replica which does not answer gets to end, in case it is only slow."""


class PlannedDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A desired deployment, as this host would run it.

    `environment` is the name in labels on the engine, `full_name` the one for people, with the host where it has one.
    `endpoint` is the URL where users reach it; `drain` is in seconds. `boot` is the last verified generation of the
    record, which a blank host starts first. `windows`: when its rollouts may begin; at any time if empty. `waits_for`:
    the hosts of earlier waves on which the generation is not Verified yet.
    """

    resolved: ResolvedDeployment
    generation: Generation
    project: str
    environment: str
    full_name: str
    drain: float
    pin_header: bool
    endpoint: str
    boot: Generation | None = None
    windows: tuple[Window, ...] = ()
    waits_for: tuple[str, ...] = ()

    @classmethod
    def of(cls, desired: Desired, resolved: ResolvedDeployment, generation: Generation) -> PlannedDeployment:
        """A deployment of an environment that begins a rollout at any time, and waits for no other host."""
        gateway = desired.environment.gateway
        return cls(
            resolved=resolved,
            generation=generation,
            project=desired.project,
            environment=desired.name,
            full_name=desired.full_name,
            drain=seconds(gateway.drain),
            pin_header=gateway.pin_header,
            endpoint=gateway.endpoint(resolved.name, published=generation.published),
        )

    @property
    def name(self) -> str:
        return self.resolved.name

    @property
    def key(self) -> str:
        """The quarantine key of the declared generation."""
        return quarantine_key(self.generation, self.resolved.declaration, self.resolved.holdout)


class DeploymentContext(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the plan of one deployment depends on."""

    wanted: PlannedDeployment
    snapshot: Snapshot
    state: DeploymentState
    now: datetime

    @property
    def name(self) -> str:
        return self.wanted.name

    @property
    def containers(self) -> tuple[Container, ...]:
        """The deployment's replicas, of every generation."""
        return self.snapshot.replicas(self.wanted.name)

    def of(self, generation: Generation) -> list[Container]:
        """The replicas of one generation."""
        return [c for c in self.containers if c.generation == generation.fingerprint]

    @property
    def replicas(self) -> int:
        """How many replicas are declared."""
        return self.wanted.resolved.declaration.replicas

    @property
    def on_hold(self) -> str | None:
        """The reason of the hold; None if there is none, or from the second of its expiry on."""
        hold = self.wanted.resolved.declaration.hold
        return hold.reason if hold and hold.in_force(self.now) else None

    def current(self, generation: Generation) -> Generation:
        """The generation with its secret files as they are declared now, which its fingerprint does not cover."""
        if generation.fingerprint != self.wanted.generation.fingerprint:
            return generation
        return msgspec.structs.replace(generation, secrets=self.wanted.generation.secrets)

    def hangs(self, container: Container, generation: Generation) -> bool:
        """Whether a replica does not answer, although it has run for longer than a start may take."""
        return self.snapshot.unresponsive.get(container.id, 0.0) > generation.start_timeout

    def routed_to(self, generation: Generation) -> bool:
        """Whether the present route file names a generation."""
        return generation.fingerprint.encode() in self.snapshot.routes.get(self.name, b"")


def expected_spec(wanted: PlannedDeployment, generation: Generation, container: Container) -> ContainerSpec:
    """The spec of the replica whose number and alias the container's labels carry."""
    suffix = container.alias.rsplit("-", 1)[-1]
    return replica_spec(
        generation,
        project=wanted.project,
        environment=wanted.environment,
        replica=container.replica,
        suffix=suffix,
        drain=wanted.drain,
    )


def partition_replicas(
    context: DeploymentContext, generation: Generation
) -> tuple[list[Container], list[tuple[Container, str]]]:
    """Split a generation's containers into one that can serve for each replica, and the rest with a cause."""
    good: list[Container] = []
    bad: list[tuple[Container, str]] = []
    for container in context.of(generation):
        differences = container_drift(
            expected_spec(context.wanted, generation, container), container, generation.image_id
        )
        if container.state != "running":
            bad.append((container, f"a replica is {container.state}"))
        elif context.hangs(container, generation):
            bad.append((container, "a replica does not answer"))
        elif differences:
            bad.append((container, f"its {differences[0]}"))
        elif any(c.replica == container.replica for c in good):
            bad.append((container, f"replica {container.replica} runs twice"))
        else:
            good.append(container)
    return good, bad


def missing_replicas(context: DeploymentContext, present: list[Container]) -> tuple[int, ...]:
    """The numbers of the declared replicas that are not among these containers."""
    taken = {c.replica for c in present}
    return tuple(n for n in range(context.replicas) if n not in taken)


def one_generation_route(
    deployment: str, generation: Generation, containers: list[Container], *, pin_header: bool
) -> bytes:
    """The route file that sends all traffic of a deployment to these containers of one generation."""
    servers = tuple((c.alias, generation.port) for c in containers)
    return _route_to_one(deployment, generation.fingerprint, servers, generation.health, pin_header)


@functools.lru_cache(maxsize=1024)  # each pass of an agent compares the route of each deployment with the same bytes
def _route_to_one(
    deployment: str, fingerprint: str, servers: tuple[tuple[str, int], ...], health: str, pin_header: bool
) -> bytes:
    return route_file(
        deployment,
        [(alias, port, fingerprint) for alias, port in servers],
        weights={fingerprint: 100},
        pin_header=pin_header,
        health=health,
    )


def split_route(
    deployment: str,
    incumbent: tuple[Generation, list[Container]],
    candidate: tuple[Generation, list[Container]],
    *,
    percent: int,
    mirror: bool,
    pin_header: bool,
) -> bytes:
    """The route file that gives a candidate `percent` of the traffic. With `mirror` it gets a copy of it instead; if it
    is published, it gets that share of the subscribers, always the same ones.
    """
    (old, _), (new, _) = incumbent, candidate
    weights = {old.fingerprint: 100 - percent, new.fingerprint: percent}
    if mirror or new.published:
        weights = {old.fingerprint: 100}
    return route_file(
        deployment,
        [
            (container.alias, generation.port, generation.fingerprint)
            for generation, containers in (incumbent, candidate)
            for container in containers
        ],
        weights=weights,
        mirror={new.fingerprint: percent} if mirror else None,
        subscribers={new.fingerprint: percent} if new.published else None,
        pin_header=pin_header,
        health={old.fingerprint: old.health, new.fingerprint: new.health},
    )


def route_drift(context: DeploymentContext, generation: Generation, containers: list[Container]) -> str:
    """How the route differs from one to these containers alone, as a cause; empty if the gateway has loaded that."""
    return route_difference(
        context, one_generation_route(context.name, generation, containers, pin_header=context.wanted.pin_header)
    )


def route_difference(context: DeploymentContext, expected: bytes) -> str:
    """How the route differs from `expected`, as a cause; empty if the gateway has loaded `expected`."""
    name, snapshot = context.name, context.snapshot
    if name not in snapshot.routes:
        return "it has no route"
    if snapshot.routes[name] != expected:
        return "its route is not what it should be"
    if snapshot.gateway_runs and snapshot.loaded.get(name) != revision_of(expected):
        return "the gateway has not loaded its route"
    return ""


def retire(name: str, containers: list[Container], because: str, *, healing: bool = False) -> plan.Retire:
    """Drain, stop and remove these containers."""
    return plan.Retire(
        deployment=name,
        containers=ids_of(containers),
        label=generations_of(containers),
        because=because,
        healing=healing,
    )


def remove(
    name: str, containers: list[Container], because: str, *, healing: bool = False, grace: int = 0
) -> plan.Remove:
    """Remove these containers without a drain: no user is sent to them. They get `grace` seconds to end."""
    return plan.Remove(
        deployment=name,
        containers=ids_of(containers),
        label=generations_of(containers),
        because=because,
        healing=healing,
        grace=grace,
    )


def ids_of(containers: list[Container]) -> tuple[str, ...]:
    """The ids of these containers."""
    return tuple(c.id for c in containers)


def generations_of(containers: list[Container]) -> str:
    """The generations of these containers, as a plan names them."""
    return ",".join(sorted({c.generation for c in containers}))
