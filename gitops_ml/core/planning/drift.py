"""Drift: the differences between what a container was asked to be and what it is. Facts only; no verb in here.

A container is compared with the spec that it was made from, by what the engine says that it *is*. A label with a hash
would only tell what its maker once wanted.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gitops_ml.core.generation import ContainerSpec
from gitops_ml.core.observed import Container, ContainerFacts


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: in what, as declared, as observed. Values of env are left out, since they may be private."""

    what: str
    declared: str
    observed: str

    def __str__(self) -> str:
        return f"{self.what} is {self.observed}, declared {self.declared}"


def container_drift(spec: ContainerSpec, container: Container, image_id: str | None) -> tuple[Drift, ...]:
    """The differences between a running container and its spec, in a stable order.

    `image_id` is the image that the generation was built into; None when nobody knows it, and then it is not compared.
    """
    found = [Drift(what=what, declared=str(a), observed=str(b)) for what, a, b in _listed(spec, container, image_id)]
    if container.facts:
        declared, observed = _declared_facts(spec), _observed_facts(container.facts)
        for what, value in declared.items():
            if value != observed[what]:
                ours, theirs = _apart(value, observed[what]) if what == "command" else (value, observed[what])
                found.append(Drift(what=what, declared=str(ours), observed=str(theirs)))
        found += _env_drift(spec.env, container.facts.env)
        if spec.network in container.networks:
            found += _alias_drift(spec, container.facts)
    return tuple(sorted(found, key=lambda d: d.what))


def _apart(declared: object, observed: object) -> tuple[object, object]:
    """Of two commands only the words that one of them has alone: a gateway's is as long as a page."""
    if isinstance(declared, tuple) and isinstance(observed, tuple):
        ours = tuple(word for word in declared if word not in observed)
        theirs = tuple(word for word in observed if word not in declared)
        if ours or theirs:
            return ours, theirs
    return declared, observed


def _listed(spec: ContainerSpec, container: Container, image_id: str | None) -> Iterator[tuple[str, object, object]]:
    """What the engine's list of containers tells without an inspection."""
    if image_id and container.image_id != image_id:
        yield "image", image_id[:19], container.image_id[:19]
    networks = (spec.network,) if spec.network else ()
    if container.networks != networks:
        yield "networks", list(networks), list(container.networks)
    if container.name != spec.name:
        yield "name", spec.name, container.name
    wrong = sorted(k for k, v in spec.labels.items() if container.labels.get(k) != v)
    if wrong:
        yield (
            "labels",
            {k: spec.labels[k] for k in wrong},
            {k: container.labels.get(k) for k in wrong},
        )


def _declared_facts(spec: ContainerSpec) -> dict[str, object]:
    mounts = {target: f"{source}:ro" for target, source in spec.binds.items()}
    mounts |= {target: f"{source}:rw" for source, target in spec.volumes.items()}
    # Of a command or an entrypoint, None is the image's own, in a spec as in what was observed.
    return {
        "mounts": mounts,
        "tmpfs": tuple(sorted(spec.tmpfs)),
        "cpus": spec.cpus,
        "memory": spec.memory,
        "pids": spec.pids,
        "restart": spec.restart,
        "user": spec.user,
        "read_only": spec.read_only,
        "capabilities": (("ALL",), ()),
        "privileges": (False, True),
        "ports": dict(spec.ports),
        "command": spec.command,
        "entrypoint": spec.entrypoint,
    }


def _observed_facts(facts: ContainerFacts) -> dict[str, object]:
    return {
        "mounts": facts.mounts,
        "tmpfs": tuple(sorted(facts.tmpfs)),
        "cpus": facts.cpus,
        "memory": facts.memory,
        "pids": facts.pids,
        "restart": facts.restart,
        "user": facts.user,
        "read_only": facts.read_only,
        "capabilities": (facts.cap_drop, facts.cap_add),
        "privileges": (facts.privileged, facts.no_new_privileges),
        "ports": facts.ports,
        "command": facts.command,
        "entrypoint": facts.entrypoint,
    }


def _env_drift(declared: dict[str, str], observed: dict[str, str]) -> list[Drift]:
    changed = sorted(k for k in declared.keys() | observed.keys() if declared.get(k) != observed.get(k))
    if not changed:
        return []
    return [
        Drift(
            what="env",
            declared="as declared",
            observed=f"different in {', '.join(changed)}",
        )
    ]


def _alias_drift(spec: ContainerSpec, facts: ContainerFacts) -> list[Drift]:
    missing = [a for a in spec.aliases if a not in facts.aliases]
    return (
        [
            Drift(
                what="aliases",
                declared=str(list(spec.aliases)),
                observed=str(list(facts.aliases)),
            )
        ]
        if missing
        else []
    )
