"""The plan of one pass for a whole environment: a pure function, the same bytes for the same inputs.

What one deployment needs is decided in `rollout`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime

import msgspec

from gitops_ml.core.declaration.schema import Desired
from gitops_ml.core.generation import ContainerSpec
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.observed import Container, Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.planning.gateway import plan_gateway, plan_tidy
from gitops_ml.core.planning.index import plan_index
from gitops_ml.core.planning.rollout import plan_broken, plan_deployment, plan_withdrawal
from gitops_ml.core.planning.route import revision_of
from gitops_ml.core.planning.status import with_error
from gitops_ml.core.text import clean_line

SHORT_LIVED = ("volume-reader", "doctor")
"""Roles of containers that a look or `doctor` makes without the lock, beside whoever holds it."""
SHORT_LIVED_SECONDS = 60.0
"""Such a container lives for seconds. An older one was left behind."""


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a plan depends on.

    `wanted` holds the desired deployments with their generations, by name. `state` is the folded journal. `gateway` is
    the spec of the gateway's container. `locked`: this pass holds the environment's lock.
    """

    desired: Desired
    snapshot: Snapshot
    state: EnvironmentState
    now: datetime
    wanted: Mapping[str, PlannedDeployment]
    gateway: ContainerSpec
    confirm_removals: bool = False
    locked: bool = False


def make_plan(inputs: Inputs, report_defect: Callable[[str, Exception], None] = lambda _, __: None) -> plan.Plan:
    """Plan one pass. Raises nothing: a deployment that cannot be planned is in the plan's `broken`.

    Args:
        report_defect: receives the exception that a deployment's planning raised, for the log.
    """
    desired, snapshot, state = inputs.desired, inputs.snapshot, inputs.state
    foreign = _foreign_routes(inputs)
    snapshot = _without_routes(snapshot, foreign)
    inputs = msgspec.structs.replace(inputs, snapshot=snapshot)
    strays = (*snapshot.strays, *(f"{name}.yml" for name in foreign))
    on_host = _deployments_on_host(snapshot, state)
    undeclared = sorted(on_host - desired.deployments.keys() - desired.broken.keys())
    refused = _refused_removals(inputs, len(on_host), undeclared)
    withdrawn = [name for name in undeclared if name not in refused]
    actions: list[plan.Action] = [*_plan_gateway(inputs), *plan_tidy(strays), *_remove_orphans(inputs)]
    actions += plan_index(snapshot, state, withdrawn)
    statuses, broken = [], dict(desired.broken)
    for name in sorted(inputs.wanted.keys() | broken.keys()):
        try:
            planned = _plan_one(inputs, name)
        except Exception as error:  # whatever is wrong with one deployment, the others are planned
            report_defect(name, error)
            broken[name] = clean_line(f"{name} cannot be planned: {type(error).__name__}: {error}")
            planned = _plan_as_served(inputs, name, broken[name])
        if planned:
            steps, status = planned
            actions += steps
            statuses.append(with_error(status, state.errors.get(name, ()), steps))
    for name in withdrawn:
        actions += plan_withdrawal(name, snapshot)
    if state.unrecorded:
        attempts = tuple(attempt.id for attempt in state.unrecorded)
        actions.append(plan.WriteRecords(attempts=attempts, because="these verdicts are not in Git yet"))
    elif state.unreverted:
        attempts = tuple(attempt.id for attempt in state.unreverted)
        actions.append(plan.WriteRecords(attempts=attempts, because="the reverts of these attempts were refused"))
    return plan.Plan(
        environment=desired.full_name,
        commit=desired.commit,
        at=inputs.now,
        actions=tuple(actions),
        statuses=tuple(statuses),
        refused=refused,
        broken=broken,
    )


def _plan_one(inputs: Inputs, name: str) -> tuple[list[plan.Action], DeploymentStatus] | None:
    """Plan one declared deployment. None if its declaration is broken and nothing of it serves."""
    state = inputs.state.of(name)
    if name in inputs.wanted:
        return plan_deployment(inputs.wanted[name], inputs.snapshot, state, inputs.now)
    return plan_broken(name, inputs.desired, inputs.snapshot, state, inputs.now)


def _plan_as_served(inputs: Inputs, name: str, reason: str) -> tuple[list[plan.Action], DeploymentStatus] | None:
    """Plan the healing of a deployment that cannot be planned for `reason`. None if nothing serves or can be planned.

    What a journal says of an open rollout may be the reason, so the rollout is left out: the incumbent serves alone.
    """
    desired = msgspec.structs.replace(inputs.desired, broken={name: reason})
    state = msgspec.structs.replace(inputs.state.of(name), open=None)
    try:
        return plan_broken(name, desired, inputs.snapshot, state, inputs.now)
    except Exception:
        return None  # the first exception is in the log


def _remove_orphans(inputs: Inputs) -> list[plan.Action]:
    """Remove probes, volume readers and containers of `doctor` that a process left behind when it died.

    A probe of a pass is orphaned if there is no lock, or if we hold it: only the lock holder runs such probes, and none
    while it observes. A probe of `verify` runs without the lock, and is orphaned once it has expired.
    """
    snapshot = inputs.snapshot
    lock_holder_works = bool(snapshot.of_role("lock")) and not inputs.locked

    def is_orphaned(container: Container) -> bool:
        age = snapshot.at.timestamp() - container.created
        if container.role in SHORT_LIVED:
            return age > SHORT_LIVED_SECONDS
        return not lock_holder_works if container.expires is None else age > container.expires

    orphaned = [c for c in snapshot.of_role("probe", *SHORT_LIVED) if is_orphaned(c)]
    return [
        plan.Remove(containers=(c.id,), label=c.name, because=f"a {c.role} was left behind")
        for c in sorted(orphaned, key=lambda c: (c.name, c.id))
    ]


def _plan_gateway(inputs: Inputs) -> list[plan.Action]:
    if not inputs.wanted and not _deployments_on_host(inputs.snapshot, inputs.state):
        return []
    return plan_gateway(inputs.snapshot, inputs.gateway)


def _foreign_routes(inputs: Inputs) -> list[str]:
    """The route files that are not ours, and of no deployment.

    The file of a deployment is written anew by that deployment's plan: until then the gateway goes on with the route
    that it has loaded.
    """
    snapshot = inputs.snapshot
    deployments = _deployments_on_host(msgspec.structs.replace(snapshot, routes={}), inputs.state)
    ours = deployments | inputs.wanted.keys() | inputs.desired.broken.keys()
    return [n for n, content in snapshot.routes.items() if n not in ours and revision_of(content) is None]


def _without_routes(snapshot: Snapshot, names: list[str]) -> Snapshot:
    routes = {name: content for name, content in snapshot.routes.items() if name not in names}
    return msgspec.structs.replace(snapshot, routes=routes)


def _deployments_on_host(snapshot: Snapshot, state: EnvironmentState) -> set[str]:
    """The deployments with a container, a route, or a journal of more than past attempts."""
    by_container = {c.deployment for c in snapshot.of_role("replica") if c.deployment}
    by_journal = {name for name, d in state.deployments.items() if d.serving or d.open or d.quarantine}
    return by_container | snapshot.routes.keys() | by_journal


def _refused_removals(inputs: Inputs, on_host: int, undeclared: list[str]) -> tuple[str, ...]:
    """The removals that a person must confirm: more than the policy's share in one pass, or the last deployment.

    Args:
        on_host: how many deployments the host has.
    """
    if not undeclared or inputs.confirm_removals:
        return ()
    share = int(inputs.desired.environment.policy.max_removals.rstrip("%"))
    allowed = math.floor(on_host * share / 100)
    removes_last = len(undeclared) == on_host
    return tuple(undeclared) if removes_last or len(undeclared) > allowed else ()
