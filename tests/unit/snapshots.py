"""Short constructors of snapshots, and the plan that follows from one, as the text that a person sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from gitops_ml.core.declaration.schema import Desired, Environment, Gateway, Policy
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.fold import Entry, fold
from gitops_ml.core.observed import Backend, Container, Snapshot
from gitops_ml.core.planning.context import PlannedDeployment, one_generation_route
from gitops_ml.core.planning.index import INDEX, plan_index
from gitops_ml.core.planning.plan import Index
from gitops_ml.core.planning.planner import Inputs, make_plan
from gitops_ml.core.planning.route import revision_of
from tests.unit.builders import ENVIRONMENT, GATEWAY, NOW, PROJECT, gateway, generation, replica
from tests.unit.journals import files, intent, promoted


def route(of: Generation, *containers: Container) -> bytes:
    """The route file that leads to these replicas of a generation."""
    return one_generation_route(of.deployment, of, list(containers), pin_header=False)


def snapshot(
    *containers: Container,
    routes: Mapping[str, bytes] | None = None,
    journal: Iterable[Entry] = (),
    raised: bool = True,
    **fields: Any,
) -> Snapshot:
    """An environment whose gateway runs, has loaded its routes, and finds every running replica up."""
    there = [*([gateway()] if raised else []), *containers]
    known: dict[str, Any] = {
        "engine": "engine-1",
        "at": NOW,
        "project": PROJECT,
        "environment": ENVIRONMENT,
        "containers": tuple(there),
        "network": "network-1" if raised else None,
        "volume": raised,
        "base_id": "sha256:base",
        "routes": dict(routes or {}),
        "loaded": {name: revision_of(content) or "" for name, content in (routes or {}).items()},
        "backends": {
            c.alias: Backend(alias=c.alias, up=True) for c in there if c.role == "replica" and c.state == "running"
        },
        "journal": files(journal),
    }
    return Snapshot(**(known | fields))


def serving(of: Generation, *containers: Container, journal: Iterable[Entry] | None = None) -> Snapshot:
    """An environment where a generation was promoted and serves with these replicas, or with one."""
    replicas = containers or (replica(of),)
    routed = [c for c in replicas if c.generation == of.fingerprint]
    return snapshot(
        *replicas,
        routes={of.deployment: route(of, *routed)},
        journal=promoted(of) if journal is None else journal,
    )


def inputs(
    seen: Snapshot,
    *declared: PlannedDeployment,
    broken: Mapping[str, str] | None = None,
    confirm_removals: bool = False,
    max_removals: str = "50%",
    now: datetime = NOW,
    index: bytes | None = None,
) -> Inputs:
    """What a plan depends on. `index` is the route of the gateway's bare port: as it should be, unless given."""
    state = fold(seen.journal, ENVIRONMENT)
    if seen.gateway_runs and not seen.index:
        expected = (
            [a.content for a in plan_index(seen, state, ()) if isinstance(a, Index)] if index is None else [index]
        )
        for content in filter(None, expected):
            loaded = seen.loaded | {INDEX: revision_of(content) or ""}
            seen = msgspec.structs.replace(seen, index=content, loaded=loaded)
    environment = Environment(schema=1, gateway=Gateway(port=8081), policy=Policy(max_removals=max_removals))
    return Inputs(
        desired=Desired(
            project=PROJECT,
            name=ENVIRONMENT,
            commit="d" * 40,
            environment=environment,
            deployments={w.name: w.resolved for w in declared},
            broken=dict(broken or {}),
        ),
        snapshot=seen,
        state=state,
        now=now,
        wanted={w.name: w for w in declared},
        gateway=GATEWAY,
        confirm_removals=confirm_removals,
    )


def planned(seen: Snapshot, *declared: PlannedDeployment, **options: Any) -> str:
    """The plan as the text that a person sees."""
    return "\n".join(make_plan(inputs(seen, *declared, **options)).lines())


def block(text: str) -> str:
    """An expected plan, written indented."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


V1, V2 = generation("v1"), generation("v2")


def rolling(*after: Entry, strategy: str = "blue-green") -> list[Entry]:
    """v1 was promoted, and a rollout of v2 has begun; `after` is what the journal says since."""
    return [*promoted(V1), intent(V2, V1, strategy=strategy), *after]


def midway(*after: Entry, there: Sequence[Container] | None = None, strategy: str = "blue-green") -> Snapshot:
    """v1 serves, v2 is on its way: with one container each, or with those given."""
    found = [replica(V1), replica(V2)] if there is None else there
    return serving(V1, *found, journal=rolling(*after, strategy=strategy))


def hosting(*hosted: str) -> Snapshot:
    """Deployments of these names, each of which serves its v1 with one replica."""
    made = [generation("v1", name) for name in hosted]
    return snapshot(
        *(replica(g) for g in made),
        routes={g.deployment: route(g, replica(g)) for g in made},
        journal=[entry for g in made for entry in promoted(g)],
    )
