"""Short constructors for what the core's tests are about: declarations, generations and containers.

A version here is one letter or digit, `v1`, `v2` …, and its generation's fingerprint is that digit twelve times: a plan
in a test can be read without looking anything up. `journals` and `snapshots` build on these.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gitops_ml.core.declaration.checks import Checks
from gitops_ml.core.declaration.schema import Deployment, Hold, ResolvedDeployment
from gitops_ml.core.generation import ContainerSpec, Generation, owner_labels, replica_spec, scoped
from gitops_ml.core.observed import Container, ContainerFacts
from gitops_ml.core.planning.context import PlannedDeployment

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
    verify: Checks | None = None,
) -> PlannedDeployment:
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
    return PlannedDeployment(
        resolved=ResolvedDeployment(
            name=name,
            declaration=msgspec.structs.replace(declaration, hold=hold, verify=verify or declaration.verify),
            digest=made.digest,
            revision=made.revision,
            path=made.path,
            holdout=holdout,
        ),
        generation=made,
        project=PROJECT,
        environment=ENVIRONMENT,
        full_name=ENVIRONMENT,
        drain=DRAIN,
        pin_header=False,
        endpoint=f"http://127.0.0.1:8081/v2/models/{name}",
        boot=boot,
    )


def later(**span: float) -> datetime:
    return NOW + timedelta(**span)


def container(spec: ContainerSpec, *, image_id: str = "", state: str = "running", created: int = 0) -> Container:
    """A container that is just what its spec asks for."""
    facts = ContainerFacts(
        image_id=image_id,
        command=spec.command,
        entrypoint=spec.entrypoint,
        env=dict(spec.env),
        mounts={t: f"{s}:ro" for t, s in spec.binds.items()} | {t: f"{s}:rw" for s, t in spec.volumes.items()},
        tmpfs=spec.tmpfs,
        cpus=spec.cpus,
        memory=spec.memory,
        pids=spec.pids,
        gpus=spec.gpus,
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
