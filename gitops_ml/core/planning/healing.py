"""Healing: bringing what serves back to its declared replicas, its own specs and its own route.

What serves is healed between rollouts and beside a rollout alike, and its actions are marked as healing: a rollout
never waits for an incumbent that cannot be healed, since it may be the very thing that mends it.
"""

from __future__ import annotations

from gitops_ml.core.generation import Generation
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import Scene, Steps, absent_replicas, remove, retire, route_drift, sorted_out


def heal(
    scene: Scene, serving: Generation, spared: Generation | None = None, *, apart: bool = True, rerouted: str = ""
) -> Steps:
    """What brings the serving generation back: start what is absent, route to it, then take away what is wrong.

    Containers of `spared` are somebody else's business. With `apart` the actions are marked as healing. `rerouted` is
    the cause where the route leads elsewhere on purpose: that is no drift.
    """
    name, serving = scene.name, scene.current(serving)
    good, bad = sorted_out(scene, serving)
    surplus = [c for c in good if c.replica >= scene.replicas]
    leaving = [c for c, _ in bad] + surplus
    absent = absent_replicas(scene, good)
    steps: Steps = []
    if absent:
        because = bad[0][1] if bad else f"{len(good)} of {scene.replicas} replicas run"
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
    drift = route_drift(scene, serving, good)
    if absent or leaving or drift:
        without = tuple(c.id for c in leaving)
        because = rerouted or drift or "its replicas changed"
        steps.append(plan.Route(deployment=name, generation=serving, without=without, because=because, healing=apart))
    if bad:
        steps.append(retire(name, [c for c, _ in bad], bad[0][1], healing=apart))
    if surplus:
        number = "1 replica is" if scene.replicas == 1 else f"{scene.replicas} replicas are"
        steps.append(retire(name, surplus, f"{number} declared", healing=apart))
    kept = {serving.fingerprint, spared.fingerprint if spared else ""}
    strangers = [c for c in scene.containers if c.generation not in kept]
    if strangers:
        steps.append(retire(name, strangers, f"{serving.fingerprint} serves", healing=apart))
    return steps


def clear(scene: Scene, spared: Generation | None = None) -> Steps:
    """What takes away that which is there although nothing of the deployment serves."""
    because = "nobody knows why it runs"
    steps: Steps = []
    if scene.name in scene.snapshot.routes:
        steps.append(plan.Unroute(deployment=scene.name, because="nothing is verified to serve", healing=True))
    left = [c for c in scene.containers if not spared or c.generation != spared.fingerprint]
    if left:
        steps.append(remove(scene.name, left, because, healing=True))
    return steps
