"""Short constructors for what the core's tests are about: declarations, generations, containers, journals, snapshots.

A version here is one letter or digit, `v1`, `v2` …, and its generation's fingerprint is that digit twelve times: a plan
in a test can be read without looking anything up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gitops_ml.core import rollout
from gitops_ml.core.desired import Deployment, Desired, Environment, Gateway, Hold, Policy, Resolved
from gitops_ml.core.generation import ContainerSpec, Generation, owner_labels, replica_spec, scoped
from gitops_ml.core.observed import Backend, Container, ContainerFacts, Snapshot
from gitops_ml.core.planner import Inputs, make_plan
from gitops_ml.core.rollout_planner import Wanted, one_generation_route
from gitops_ml.core.route import revision_of
from gitops_ml.core.verdict import CheckResult, Verdict

PROJECT, ENVIRONMENT, NAME = "shop", "dev", "churn"
NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
DRAIN = 30.0
GATEWAY = ContainerSpec(
    name=scoped(PROJECT, ENVIRONMENT, "gateway"),
    image="traefik:v3",
    labels=owner_labels(PROJECT, ENVIRONMENT, "gateway"),
    network=scoped(PROJECT, ENVIRONMENT),
    entrypoint=("traefik",),
    command=("--ping=true",),
    ports={8080: ("127.0.0.1", 8081)},
)


def generation(version: str = "v1", name: str = NAME, *, built: bool = True, **fields: Any) -> Generation:
    """The generation of a version; its fingerprint repeats the version's last character."""
    mark = version[-1]
    known: dict[str, Any] = {
        "fingerprint": mark * 12,
        "deployment": name,
        "model": name,
        "version": version,
        "digest": f"md5:{mark * 32}",
        "path": f"models/{name}",
        "revision": f"{mark * 40}",
        "commit": f"c{mark * 39}",
        "pattern": "service",
        "image": f"gitops-ml/{name}:{mark * 16}",
        "image_id": f"sha256:{mark * 64}" if built else None,
    }
    return Generation(**(known | fields))


def wanted(
    version: str = "v1",
    name: str = NAME,
    *,
    replicas: int = 1,
    strategy: str = "blue-green",
    hold: Hold | None = None,
    boot: Generation | None = None,
    holdout: str | None = None,
    of: Generation | None = None,
) -> Wanted:
    """A deployment that declares a version. `of` is its generation, where it is not that of the version."""
    made = of or generation(version, name, built=False)
    declaration = msgspec.convert(
        {
            "schema": 1,
            "model": name,
            "version": made.version,
            "replicas": replicas,
            "rollout": {"strategy": strategy},
        },
        Deployment,
    )
    return Wanted(
        resolved=Resolved(
            name=name,
            declaration=msgspec.structs.replace(declaration, hold=hold),
            digest=made.digest,
            revision=made.revision,
            path=made.path,
            holdout=holdout,
        ),
        generation=made,
        project=PROJECT,
        environment=ENVIRONMENT,
        drain=DRAIN,
        pin_header=False,
        endpoint=f"http://127.0.0.1:8081/v2/models/{name}",
        boot=boot,
    )


# --- containers ------------------------------------------------------------------------------------------------------


def container(spec: ContainerSpec, *, image_id: str = "", state: str = "running", created: int = 0) -> Container:
    """A container that is just what its spec asks for."""
    facts = ContainerFacts(
        image_id=image_id,
        command=spec.command,
        entrypoint=spec.entrypoint,
        env=dict(spec.env),
        mounts={t: f"{s}:ro" for s, t in spec.binds.items()} | {t: f"{s}:rw" for s, t in spec.volumes.items()},
        tmpfs=spec.tmpfs,
        cpus=spec.cpus,
        memory=spec.memory,
        pids=spec.pids,
        restart=spec.restart,
        user=spec.user,
        read_only=spec.read_only,
        cap_drop=("ALL",),
        cap_add=(),
        privileged=False,
        no_new_privileges=True,
        ports=dict(spec.ports),
        aliases=spec.aliases,
    )
    return Container(
        id=f"id-{spec.name}",
        name=spec.name,
        image_id=image_id,
        state=state,  # type: ignore[arg-type]
        created=created,
        labels=spec.labels,
        networks=(spec.network,) if spec.network else (),
        facts=facts,
    )


def replica(of: Generation, number: int = 0, *, state: str = "running", suffix: str = "aaaaaa") -> Container:
    """A replica as `of` asks for it. Its ID is `id-` and its name."""
    spec = replica_spec(of, project=PROJECT, environment=ENVIRONMENT, replica=number, suffix=suffix, drain=DRAIN)
    return container(spec, image_id=of.image_id or "", state=state)


def changed(found: Container, **facts: Any) -> Container:
    """The same container, with facts that nobody declared."""
    assert found.facts
    return msgspec.structs.replace(found, facts=msgspec.structs.replace(found.facts, **facts))


def gateway(*, state: str = "running", created: int = 0) -> Container:
    return container(GATEWAY, image_id="sha256:traefik", state=state, created=created)


def short_lived(role: str, *, created: datetime) -> Container:
    """A probe or a carrier, made at that time."""
    spec = ContainerSpec(
        name=scoped(PROJECT, ENVIRONMENT, role, "ab12"),
        image="traefik:v3",
        labels=owner_labels(PROJECT, ENVIRONMENT, role),
        network=None,
    )
    return container(spec, created=int(created.timestamp()))


# --- the journal -----------------------------------------------------------------------------------------------------


def attempt_id(of: Generation) -> str:
    return f"attempt-{of.deployment}-{of.version}"


def intent(
    of: Generation, incumbent: Generation | None = None, *, strategy: str = "blue-green", boot: bool = False
) -> rollout.Intent:
    unbuilt = msgspec.structs.replace(of, image_id=None)
    key = wanted(of.version, of.deployment, of=of).key
    return rollout.Intent(
        at="2026-11-23T08:00:00+00:00",
        attempt=attempt_id(of),
        generation=unbuilt,
        incumbent=incumbent,
        strategy=strategy,
        key="boot" if boot else key,
        boot=boot,
    )


def built(of: Generation) -> rollout.Built:
    return rollout.Built(
        at="2026-11-23T08:00:10+00:00",
        attempt=attempt_id(of),
        deployment=of.deployment,
        image_id=of.image_id or "",
    )


def judged(of: Generation, verdict: Verdict = "Verified", reason: str = "it answers") -> rollout.Judged:
    results = {"Verified": "pass", "Failed": "fail"}
    check = msgspec.convert(
        {"name": "smoke", "result": results.get(verdict, "inconclusive"), "reason": reason}, CheckResult
    )
    return rollout.Judged(
        at="2026-11-23T08:00:20+00:00",
        attempt=attempt_id(of),
        deployment=of.deployment,
        verdict=verdict,
        checks=(check,),
    )


def settled(of: Generation, outcome: rollout.Outcome = "promoted") -> rollout.Settled:
    return rollout.Settled(
        at="2026-11-23T08:00:30+00:00", attempt=attempt_id(of), deployment=of.deployment, outcome=outcome
    )


def published(*of: Generation) -> rollout.Published:
    return rollout.Published(at="2026-11-23T08:00:40+00:00", attempts=tuple(attempt_id(g) for g in of), commit="f" * 40)


def promoted(of: Generation, incumbent: Generation | None = None) -> list[rollout.Entry]:
    """The whole of a rollout that went well, and its record in Git."""
    return [intent(of, incumbent), built(of), judged(of), settled(of), published(of)]


def failed(
    of: Generation, incumbent: Generation | None = None, outcome: rollout.Outcome = "failed"
) -> list[rollout.Entry]:
    """The whole of a rollout that did not, and its record in Git."""
    verdict: Verdict = "Failed" if outcome == "failed" else "Inconclusive"
    return [intent(of, incumbent), built(of), judged(of, verdict), settled(of, outcome), published(of)]


def files(entries: Iterable[rollout.Entry]) -> dict[str, bytes]:
    """Entries as the journal's files."""
    return {f"{n:010d}.json": rollout.encode(entry) for n, entry in enumerate(entries, 1)}


# --- snapshots, and the plan as text ---------------------------------------------------------------------------------


def route(of: Generation, *containers: Container) -> bytes:
    """The route file that leads to these replicas of a generation."""
    return one_generation_route(of.deployment, of, list(containers), pin_header=False)


def snapshot(
    *containers: Container,
    routes: Mapping[str, bytes] | None = None,
    journal: Iterable[rollout.Entry] = (),
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
            c.alias: Backend(alias=c.alias, port=8080, up=True)
            for c in there
            if c.role == "replica" and c.state == "running"
        },
        "journal": files(journal),
    }
    return Snapshot(**(known | fields))


def serving(of: Generation, *containers: Container, journal: Iterable[rollout.Entry] | None = None) -> Snapshot:
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
    *declared: Wanted,
    broken: Mapping[str, str] | None = None,
    confirm_removals: bool = False,
    max_removals: str = "50%",
    now: datetime = NOW,
) -> Inputs:
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
        state=rollout.fold(seen.journal),
        now=now,
        wanted={w.name: w for w in declared},
        gateway=GATEWAY,
        confirm_removals=confirm_removals,
    )


def planned(seen: Snapshot, *declared: Wanted, **options: Any) -> str:
    """The plan as the text that a person sees."""
    return "\n".join(make_plan(inputs(seen, *declared, **options)).lines())


def block(text: str) -> str:
    """An expected plan, written indented."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


def later(**span: float) -> datetime:
    return NOW + timedelta(**span)
