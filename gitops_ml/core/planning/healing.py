"""Healing: bringing what serves back to its declared replicas, its own specs and its own route.

What serves is healed between rollouts and beside a rollout alike, and its actions are marked as healing: a rollout
never waits for an incumbent that cannot be healed, since it may be the very thing that fixes it.
"""

from __future__ import annotations

from gitops_ml.core.generation import Generation
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import (
    DeploymentContext,
    Steps,
    missing_replicas,
    partition_replicas,
    remove,
    retire,
    route_drift,
)


def heal(
    context: DeploymentContext,
    serving: Generation,
    spared: Generation | None = None,
    *,
    apart: bool = True,
    rerouted: str = "",
) -> Steps:
    """What brings the serving generation back: start what is absent, route to it, then take away what is wrong.

    Containers of `spared` are somebody else's business. With `apart` the actions are marked as healing. `rerouted` is
    the cause where the route leads elsewhere on purpose: that is no drift.
    """
    name, serving = context.name, context.current(serving)
    good, bad = partition_replicas(context, serving)
    surplus = [c for c in good if c.replica >= context.replicas]
    leaving = [c for c, _ in bad] + surplus
    absent = missing_replicas(context, good)
    steps: Steps = []
    if absent:
        because = bad[0][1] if bad else f"{len(good)} of {context.replicas} replicas run"
        steps.append(
            plan.Start(
                deployment=name,
                generation=serving,
                replicas=absent,
                because=because,
                await_ready=True,
                healing=apart,
            )
        )
    drift = route_drift(context, serving, good)
    if absent or leaving or drift:
        without = tuple(c.id for c in leaving)
        because = rerouted or drift or "its replicas changed"
        steps.append(plan.Route(deployment=name, generation=serving, without=without, because=because, healing=apart))
    # A process that hangs finishes no request and obeys no SIGTERM: to drain it would only cost time.
    hanging = [(c, cause) for c, cause in bad if context.hangs(c, serving)]
    others = [(c, cause) for c, cause in bad if not context.hangs(c, serving)]
    if hanging:
        steps.append(remove(name, [c for c, _ in hanging], hanging[0][1], healing=apart))
    if others:
        steps.append(retire(name, [c for c, _ in others], others[0][1], healing=apart))
    if surplus:
        number = "1 replica is" if context.replicas == 1 else f"{context.replicas} replicas are"
        steps.append(retire(name, surplus, f"{number} declared", healing=apart))
    kept = {serving.fingerprint, spared.fingerprint if spared else ""}
    unknown_containers = [c for c in context.containers if c.generation not in kept]
    if unknown_containers:
        steps.append(retire(name, unknown_containers, f"{serving.fingerprint} serves", healing=apart))
    return steps


def clear(context: DeploymentContext, spared: Generation | None = None) -> Steps:
    """What takes away that which is there although nothing of the deployment serves."""
    because = "nobody knows why it runs"
    steps: Steps = []
    if context.name in context.snapshot.routes:
        steps.append(plan.Unroute(deployment=context.name, because="nothing is verified to serve", healing=True))
    left = [c for c in context.containers if not spared or c.generation != spared.fingerprint]
    if left:
        steps.append(remove(context.name, left, because, healing=True))
    return steps
