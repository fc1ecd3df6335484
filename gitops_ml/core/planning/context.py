"""One deployment in one pass: what is wanted of it, what is known of it, and what is wrong with what runs.

The facts that healing, rollouts and status are decided from are found here, once, so that these three never disagree
about which containers can serve.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.generation import ContainerSpec, Generation, replica_spec
from gitops_ml.core.journal.state import DeploymentState, quarantine_key
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.drift import container_drift
from gitops_ml.core.planning.route import revision_of, route_file

Steps = list[plan.Action]


class PlannedDeployment(msgspec.Struct, frozen=True, kw_only=True):
    """A desired deployment as this host would run it.

    `boot` is the last verified generation of the record: what a blank host starts with. `endpoint` is where users
    reach it; `drain` in seconds.
    """

    resolved: ResolvedDeployment
    generation: Generation
    project: str
    environment: str
    drain: float
    pin_header: bool
    endpoint: str
    boot: Generation | None = None

    @property
    def name(self) -> str:
        return self.resolved.name

    @property
    def key(self) -> str:
        return quarantine_key(self.generation, self.resolved.declaration, self.resolved.holdout)


class DeploymentContext(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment in this pass: what is wanted of it, and all that is known of it."""

    wanted: PlannedDeployment
    snapshot: Snapshot
    state: DeploymentState
    now: datetime

    @property
    def name(self) -> str:
        return self.wanted.name

    @property
    def containers(self) -> tuple[Container, ...]:
        return self.snapshot.replicas(self.wanted.name)

    def of(self, generation: Generation) -> list[Container]:
        return [c for c in self.containers if c.generation == generation.fingerprint]

    @property
    def replicas(self) -> int:
        return self.wanted.resolved.declaration.replicas

    @property
    def held(self) -> str | None:
        """The reason of a hold that has not expired; the second of its expiry is after it."""
        hold = self.wanted.resolved.declaration.hold
        if hold is None or (hold.until is not None and hold.until <= self.now):
            return None
        return hold.reason

    def current(self, generation: Generation) -> Generation:
        """A generation with what its fingerprint leaves out as it is declared now: where its secrets lie."""
        if generation.fingerprint != self.wanted.generation.fingerprint:
            return generation
        return msgspec.structs.replace(generation, secrets=self.wanted.generation.secrets)

    def hangs(self, container: Container, generation: Generation) -> bool:
        """Whether a replica does not answer, although it has run for longer than a start may take."""
        return self.snapshot.unresponsive.get(container.id, 0.0) > generation.start_timeout

    def routed_to(self, generation: Generation) -> bool:
        """Whether the route file as it lies there names a generation."""
        return generation.fingerprint.encode() in self.snapshot.routes.get(self.name, b"")


def expected_spec(wanted: PlannedDeployment, generation: Generation, container: Container) -> ContainerSpec:
    """The spec that a replica should have been made from, told by the place that its labels give it."""
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
    """The containers of a generation that can serve, one for each replica, and the others with what is wrong."""
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


def missing_replicas(context: DeploymentContext, there: list[Container]) -> tuple[int, ...]:
    """The declared replicas that none of these containers is."""
    taken = {c.replica for c in there}
    return tuple(n for n in range(context.replicas) if n not in taken)


def one_generation_route(
    deployment: str, generation: Generation, containers: list[Container], *, pin_header: bool
) -> bytes:
    """The route file that sends all traffic of a deployment to these containers of one generation."""
    return route_file(
        deployment,
        [(c.alias, generation.port, generation.fingerprint) for c in containers],
        weights={generation.fingerprint: 100},
        pin_header=pin_header,
        health=generation.health,
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
    """The route file that gives a candidate `percent` of the traffic, or a copy of it that nobody waits for."""
    (old, _), (new, _) = incumbent, candidate
    weights = {old.fingerprint: 100} if mirror else {old.fingerprint: 100 - percent, new.fingerprint: percent}
    return route_file(
        deployment,
        [(c.alias, of.port, of.fingerprint) for of, found in (incumbent, candidate) for c in found],
        weights=weights,
        mirror={new.fingerprint: percent} if mirror else None,
        pin_header=pin_header,
        health={old.fingerprint: old.health, new.fingerprint: new.health},
    )


def route_drift(context: DeploymentContext, generation: Generation, good: list[Container]) -> str:
    """What is wrong with the route to these containers, as a cause; empty when the gateway has loaded just that."""
    return difference_of_route(
        context, one_generation_route(context.name, generation, good, pin_header=context.wanted.pin_header)
    )


def difference_of_route(context: DeploymentContext, expected: bytes) -> str:
    """What is wrong with the route, which should be `expected`, as a cause; empty when the gateway has loaded it."""
    name, snapshot = context.name, context.snapshot
    if name not in snapshot.routes:
        return "it has no route"
    if snapshot.routes[name] != expected:
        return "its route is not what it should be"
    gateway = snapshot.gateway
    if gateway and gateway.state == "running" and snapshot.loaded.get(name) != revision_of(expected):
        return "the gateway has not loaded its route"
    return ""


def retire(name: str, containers: list[Container], because: str, *, healing: bool = False) -> plan.Retire:
    """Drain, stop and remove these."""
    return plan.Retire(
        deployment=name, containers=_ids(containers), label=_subject(containers), because=because, healing=healing
    )


def remove(name: str, containers: list[Container], because: str, *, healing: bool = False) -> plan.Remove:
    """Remove these, which serve nobody."""
    return plan.Remove(
        deployment=name, containers=_ids(containers), label=_subject(containers), because=because, healing=healing
    )


def _ids(containers: list[Container]) -> tuple[str, ...]:
    return tuple(c.id for c in containers)


def _subject(containers: list[Container]) -> str:
    return ",".join(sorted({c.generation for c in containers}))
