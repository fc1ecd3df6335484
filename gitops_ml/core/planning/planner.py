"""From desired and observed state to a plan: pure, so that the same four inputs give the same plan, byte for byte.

The decisions of one pass for the whole environment are here; those for one deployment are in `rollout_planner`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime

import msgspec

from gitops_ml.core.declaration.schema import Desired
from gitops_ml.core.generation import ContainerSpec, Generation
from gitops_ml.core.journal.state import State
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning import drift, plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.rollout import plan_broken, plan_deployment, plan_withdrawal
from gitops_ml.core.text import clean_line

VOLUME_READER_SECONDS = 60.0
"""A volume reader lives for one reading of the volume, by whoever looks; none is as old as this."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan is a function of, beside the desired state and the snapshot.

    `wanted` are the desired deployments with their generations, by name; `state` what the journal adds up to; `locked`
    whether the environment's lock is this pass's.
    """

    desired: Desired
    snapshot: Snapshot
    state: State
    now: datetime
    wanted: Mapping[str, PlannedDeployment]
    gateway: ContainerSpec
    confirm_removals: bool = False
    locked: bool = False


def make_plan(inputs: Inputs) -> plan.Plan:
    """The plan of one pass."""
    desired, snapshot, state = inputs.desired, inputs.snapshot, inputs.state
    actions: list[plan.Action] = [*_gateway(inputs), *_left_behind(inputs)]
    statuses, broken = [], dict(desired.broken)
    for name in sorted(inputs.wanted.keys() | broken.keys()):
        try:
            planned = _plan_one(inputs, name)
        except Exception as error:  # the boundary of a deployment: whatever is wrong with it, the others are planned
            broken[name] = clean_line(f"{name} cannot be planned: {type(error).__name__}: {error}")
            continue
        if planned:
            actions += planned[0]
            statuses.append(planned[1])
    present = _present(snapshot, state)
    gone = sorted(present - desired.deployments.keys() - desired.broken.keys())
    refused = _refused(inputs, len(present), gone)
    for name in gone:
        if name not in refused:
            actions += plan_withdrawal(name, snapshot)
    if state.unpublished:
        attempts = tuple(a.id for a in state.unpublished)
        actions.append(plan.Publish(attempts=attempts, because="Git does not hold these verdicts yet"))
    return plan.Plan(
        environment=desired.name,
        commit=desired.commit,
        at=inputs.now,
        actions=tuple(actions),
        statuses=tuple(statuses),
        refused=refused,
        broken=broken,
    )


def _plan_one(inputs: Inputs, name: str) -> tuple[list[plan.Action], plan.DeploymentStatus] | None:
    """What one declared deployment needs, and where it stands; None when it is broken and nothing of it serves."""
    known = inputs.state.of(name)
    if name in inputs.wanted:
        return plan_deployment(inputs.wanted[name], inputs.snapshot, known, inputs.now)
    return plan_broken(name, inputs.desired, inputs.snapshot, known, inputs.now)


def _left_behind(inputs: Inputs) -> list[plan.Action]:
    """Remove probes and volume readers of a process that died.

    Only who holds the lock has a probe, and while it looks it has none: so one that is there without a lock, or while
    the lock is ours, is nobody's.
    """
    snapshot = inputs.snapshot
    nobodys = inputs.locked or not snapshot.of_role("lock")
    found = snapshot.of_role("probe") if nobodys else []
    found += [
        c for c in snapshot.of_role("volume-reader") if snapshot.at.timestamp() - c.created > VOLUME_READER_SECONDS
    ]
    return [
        plan.Remove(containers=(c.id,), subject_=c.name, because=f"a {c.role} was left behind")
        for c in sorted(found, key=lambda c: (c.name, c.id))
    ]


def _gateway(inputs: Inputs) -> list[plan.Action]:
    snapshot, spec = inputs.snapshot, inputs.gateway
    if not inputs.wanted and not _present(snapshot, inputs.state):
        return []
    found = sorted(snapshot.of_role("gateway"), key=lambda c: (c.created, c.id))
    because = _gateway_trouble(snapshot, spec, found)
    if not because:
        return []
    return [plan.EnsureGateway(spec=spec, remove=tuple(c.id for c in found), because=because)]


def _gateway_trouble(snapshot: Snapshot, spec: ContainerSpec, found: list[Container]) -> str:
    """Why the gateway has to be raised anew, as a cause; empty when it is as it should be."""
    if snapshot.network is None:
        return "the environment has no network"
    if not snapshot.volume:
        return "the environment has no volume"
    if not found:
        return "the environment has no gateway"
    if len(found) > 1:
        return f"there are {len(found)} of it"
    differences = drift.container_drift(spec, found[0], None)
    if differences:
        return f"its {differences[0]}"
    return "" if found[0].state == "running" else f"it is {found[0].state}"


def _present(snapshot: Snapshot, state: State) -> set[str]:
    """The deployments that there is something of on the host: containers, a route, or more than past attempts."""
    by_container = {c.deployment for c in snapshot.of_role("replica") if c.deployment}
    by_journal = {name for name, known in state.deployments.items() if known.serving or known.open or known.quarantine}
    return by_container | snapshot.routes.keys() | by_journal


def _refused(inputs: Inputs, present: int, gone: list[str]) -> tuple[str, ...]:
    """Removals that need a person: more than the policy's share in one pass, or the last deployment (DESIGN §2)."""
    if not gone or inputs.confirm_removals:
        return ()
    share = int(inputs.desired.environment.policy.max_removals.rstrip("%"))
    allowed = math.floor(present * share / 100)
    last = len(gone) == present
    return tuple(gone) if last or len(gone) > allowed else ()


def generations_in_use(state: State) -> dict[str, Generation]:
    """The generations that a journal still speaks of, by fingerprint: what must not be pruned."""
    found: dict[str, Generation] = {}
    for deployment in state.deployments.values():
        for generation in (
            deployment.serving,
            deployment.open.generation if deployment.open else None,
        ):
            if generation:
                found[generation.fingerprint] = generation
    return found
