"""Plan the environment's gateway: whether it is made, kept or replaced, and what users lose by that."""

from __future__ import annotations

from gitops_ml.core.generation import ContainerSpec, overlap
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.drift import container_drift


def plan_gateway(snapshot: Snapshot, spec: ContainerSpec) -> list[plan.Action]:
    """Plan to make the gateway as declared. A gateway that serves is replaced only where it cannot be kept."""
    gateways = sorted(snapshot.of_role("gateway"), key=lambda c: (c.created, c.id))
    because = _gateway_trouble(snapshot, spec, gateways)
    if not because:
        return []
    serving = [c for c in gateways if c.state == "running" and spec.network in c.networks] if snapshot.volume else []
    keep = next((c.id for c in reversed(serving) if _fits(spec, c)), "")
    remove = tuple(c.id for c in gateways if c.id != keep)
    if serving and not keep:
        because = f"{because}; {_cost(spec, serving)}"
    return [plan.EnsureGateway(spec=spec, remove=remove, keep=keep, serves=bool(serving), because=because)]


def _fits(spec: ContainerSpec, gateway: Container) -> bool:
    """Whether a gateway is as declared, except for its name: a pass that was cut off may have renamed it."""
    return gateway.facts is not None and all(drift.what == "name" for drift in container_drift(spec, gateway, None))


def _cost(spec: ContainerSpec, serving: list[Container]) -> str:
    """What users lose while a gateway that serves is replaced."""
    bound = {address for gateway in serving if gateway.facts for address in gateway.facts.ports.values()}
    declared = set(spec.ports.values())
    if any(overlap(one, other) for one in bound for other in declared):
        return "requests fail for about a second meanwhile"
    return "nothing answers at the address before any more"


def _gateway_trouble(snapshot: Snapshot, spec: ContainerSpec, gateways: list[Container]) -> str:
    """Why the gateway must be made again, as a cause; empty if it is as declared."""
    if snapshot.network is None:
        return "the environment has no network"
    if not snapshot.volume:
        return "the environment has no volume"
    if not gateways:
        return "the environment has no gateway"
    if len(gateways) > 1:
        return f"{len(gateways)} gateways exist"
    differences = container_drift(spec, gateways[0], None)
    if differences:
        return f"its {differences[0]}"
    return "" if gateways[0].state == "running" else f"it is {gateways[0].state}"


def plan_tidy(strays: tuple[str, ...]) -> list[plan.Action]:
    """Plan to remove what is no route file of ours from the watched folder."""
    because = "it is not what it should be, and beside a broken file the gateway loads no change"
    return [plan.Tidy(files=strays, because=because)] if strays else []
