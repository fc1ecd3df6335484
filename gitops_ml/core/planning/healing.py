"""Healing: bring the serving generation back to its declared replicas, its specs and its route.

The serving generation is healed between rollouts and during a rollout. A rollout never waits for an incumbent that
cannot be healed, because the candidate may be the fix: so these actions are marked as healing.
"""

from __future__ import annotations

from gitops_ml.core.generation import Generation
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import (
    HANGING_GRACE,
    DeploymentContext,
    Steps,
    ids_of,
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
    healing: bool = True,
    rerouted: str = "",
) -> Steps:
    """Plan the repair of the serving generation: start missing replicas, route to them, then retire the rest.

    Args:
        spared: leave this generation's containers alone.
        healing: mark the actions as healing. False: later actions wait until `serving` has the traffic. Its running
            replicas are enough; if none runs, new ones must start first.
        rerouted: the cause to give for the route, if it leads to the candidate on purpose.
    """
    name, serving = context.name, context.current(serving)
    good, bad = partition_replicas(context, serving)
    surplus = [c for c in good if c.replica >= context.replicas]
    leaving = [c for c, _ in bad] + surplus
    missing = missing_replicas(context, good)
    optional = healing or bool(good)
    steps: Steps = []
    if missing:
        because = bad[0][1] if bad else f"{len(good)} of {context.replicas} replicas run"
        steps.append(
            plan.Start(
                deployment=name,
                generation=serving,
                replicas=missing,
                because=because,
                await_ready=True,
                healing=optional,
            )
        )
    drift = route_drift(context, serving, good)
    if missing or leaving or drift:
        because = rerouted or drift or "its replicas changed"
        steps.append(
            plan.Route(deployment=name, generation=serving, without=ids_of(leaving), because=because, healing=healing)
        )
    # A replica that does not answer is not drained, which could wait in vain. Being slow is why it gets HANGING_GRACE.
    hanging = [(c, cause) for c, cause in bad if context.hangs(c, serving)]
    others = [(c, cause) for c, cause in bad if not context.hangs(c, serving)]
    if hanging:
        steps.append(remove(name, [c for c, _ in hanging], hanging[0][1], healing=optional, grace=HANGING_GRACE))
    if others:
        steps.append(retire(name, [c for c, _ in others], others[0][1], healing=optional))
    if surplus:
        number = "1 replica is" if context.replicas == 1 else f"{context.replicas} replicas are"
        steps.append(retire(name, surplus, f"{number} declared", healing=optional))
    kept = {serving.fingerprint, spared.fingerprint if spared else ""}
    unknown = [c for c in context.containers if c.generation not in kept]
    if unknown:
        steps.append(retire(name, unknown, f"{serving.fingerprint} serves", healing=optional))
    return steps


def remove_leftovers(context: DeploymentContext, spared: Generation | None = None) -> Steps:
    """Plan the removal of what is left of a deployment without a serving generation.

    Args:
        spared: leave this generation's containers alone.
    """
    steps: Steps = []
    if context.name in context.snapshot.routes:
        steps.append(plan.Unroute(deployment=context.name, because="no generation is verified to serve", healing=True))
    leftovers = [c for c in context.containers if not spared or c.generation != spared.fingerprint]
    if leftovers:
        steps.append(remove(context.name, leftovers, "no rollout owns it", healing=True))
    return steps
