"""Drift: the differences between a container's spec and the container itself. Facts only; nothing here decides.

The container is described by the engine. A hash in a label would only say what was wanted when it was made.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gitops_ml.core.generation import ContainerSpec, nano_cpus
from gitops_ml.core.observed import Container, ContainerFacts


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """One difference: in what, as declared and as observed. Values of env are left out, since they may be secret."""

    what: str
    declared: str
    observed: str

    def __str__(self) -> str:
        return f"{self.what} is {self.observed}, declared {self.declared}"


def container_drift(spec: ContainerSpec, container: Container, image_id: str | None) -> tuple[Drift, ...]:
    """The differences between a container and its spec, in a stable order.

    Args:
        image_id: the generation's image; None if it is not known, and then images are not compared.
    """
    drifts = [Drift(what=what, declared=str(a), observed=str(b)) for what, a, b in _listed(spec, container, image_id)]
    if container.facts:
        declared, observed = _declared_facts(spec), _observed_facts(container.facts)
        for what, value in declared.items():
            if value != observed[what]:
                if what == "command":
                    drifts.append(_command_drift(value, observed[what]))
                else:
                    drifts.append(Drift(what=what, declared=str(value), observed=str(observed[what])))
        drifts += _env_drift(spec.env, container.facts.env)
        if spec.network in container.networks:
            drifts += _alias_drift(spec, container.facts)
    return tuple(sorted(drifts, key=lambda drift: drift.what))


def _command_drift(declared: object, observed: object) -> Drift:
    """Only the words that one of the commands has alone: a gateway's command is a page long."""
    if isinstance(declared, tuple) and isinstance(observed, tuple):
        only_declared = tuple(word for word in declared if word not in observed)
        only_observed = tuple(word for word in observed if word not in declared)
        if only_declared or only_observed:
            return Drift(what="command", declared=str(only_declared), observed=str(only_observed))
    return Drift(what="command", declared=str(declared), observed=str(observed))


def _listed(spec: ContainerSpec, container: Container, image_id: str | None) -> Iterator[tuple[str, object, object]]:
    """Differences that the engine's list of containers shows, without an inspection."""
    if image_id and container.image_id != image_id:
        yield "image", image_id[:19], container.image_id[:19]
    networks = (spec.network,) if spec.network else ()
    if container.networks != networks:
        yield "networks", list(networks), list(container.networks)
    if container.name != spec.name:
        yield "name", spec.name, container.name
    wrong = sorted(k for k, v in spec.labels.items() if container.labels.get(k) != v)
    if wrong:
        yield "labels", {k: spec.labels[k] for k in wrong}, {k: container.labels.get(k) for k in wrong}


def _declared_facts(spec: ContainerSpec) -> dict[str, object]:
    mounts = {target: f"{source}:ro" for target, source in spec.binds.items()}
    mounts |= {target: f"{source}:rw" for source, target in spec.volumes.items()}
    # A command or entrypoint of None means the image's own, here and in the observed facts.
    return {
        "mounts": mounts,
        "tmpfs": tuple(sorted(spec.tmpfs)),
        "cpus": nano_cpus(spec.cpus) / 1e9,
        "memory": spec.memory,
        "pids": spec.pids,
        "gpus": spec.gpus,
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
        "gpus": facts.gpus,
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
    return [Drift(what="env", declared="as declared", observed=f"different in {', '.join(changed)}")]


def _alias_drift(spec: ContainerSpec, facts: ContainerFacts) -> list[Drift]:
    if all(alias in facts.aliases for alias in spec.aliases):
        return []
    return [Drift(what="aliases", declared=str(list(spec.aliases)), observed=str(list(facts.aliases)))]
