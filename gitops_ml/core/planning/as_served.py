"""The plan where no commit can be followed: what serves is healed as the journal knows it, and nothing else is done.

Either the commit that was applied last is in no clone, or a newer version wrote into the journal. Users must not wait
for the person who mends that.
"""

from __future__ import annotations

import msgspec

from gitops_ml.core.declaration.schema import Desired
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan


def declared_as_served(desired: Desired, state: EnvironmentState, reason: str) -> Desired:
    """Desired state without any declaration: each serving deployment is planned as it serves, for this reason."""
    serving = {name: reason for name, deployment in state.deployments.items() if deployment.serving}
    return msgspec.structs.replace(desired, deployments={}, broken=serving)


def only_healing(planned: plan.Plan, snapshot: Snapshot, state: EnvironmentState, *, unread: bool) -> plan.Plan:
    """The plan's actions that heal what serves.

    Args:
        unread: entries of the journal are not understood. Then only what the route agrees with is healed, and other
            generations are left alone: a newer version may be at work with them.
    """

    def heals(action: plan.Action) -> bool:
        if isinstance(action, plan.EnsureGateway):
            return not snapshot.gateway_runs
        if state.of(action.deployment).serving is None:
            return False
        return _is_safe(action, snapshot, state) if unread else True

    actions = tuple(action for action in planned.actions if heals(action))
    return msgspec.structs.replace(planned, actions=actions, refused=())


def _is_safe(action: plan.Action, snapshot: Snapshot, state: EnvironmentState) -> bool:
    deployment = state.of(action.deployment)
    serving = deployment.serving
    route = snapshot.routes.get(action.deployment, b"")
    if serving is None or deployment.open or serving.fingerprint.encode() not in route or not action.healing:
        return False
    if isinstance(action, plan.Remove | plan.Retire):
        own = {c.id for c in snapshot.replicas(action.deployment) if c.generation == serving.fingerprint}
        return own.issuperset(action.containers)
    return isinstance(action, plan.Start | plan.Route)
