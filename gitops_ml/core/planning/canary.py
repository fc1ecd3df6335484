"""A candidate among users: the stages of its traffic, one after the other, each held until its requests decide.

A canary gets a growing share of the traffic; a shadow gets a copy of it, and users see only the incumbent's answers.
Both are judged by one sequential test for each kind of traffic; the evidence that it needs is spread over the stages,
so that a stage ends when its part of it is there.
"""

from __future__ import annotations

import math

import msgspec

from gitops_ml.core.declaration.schema import Deployment, Traffic
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import (
    DeploymentContext,
    Steps,
    difference_of_route,
    missing_replicas,
    partition_replicas,
    remove,
    retire,
    split_route,
)
from gitops_ml.core.verification.names import ALPHA
from gitops_ml.core.verification.verdict import share

MIRRORED = 100
"""Percent of the requests that a shadow gets a copy of."""
_CLEARED = "it has passed the checks before traffic"


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One share of traffic. `test` numbers the tests of a rollout: a mirror's requests are not users' requests."""

    percent: int
    mirror: bool
    test: int


def stages(declaration: Deployment) -> tuple[Stage, ...]:
    """The stages of a rollout that traffic decides."""
    rollout = declaration.rollout
    shares = [Stage(percent=p, mirror=False, test=1) for p in sorted(set(rollout.steps))]
    if rollout.strategy == "shadow":
        shadow = Stage(percent=MIRRORED, mirror=True, test=0)
        return (shadow, *shares) if rollout.then == "canary" else (shadow,)
    return tuple(shares)


def by_traffic(attempt: Attempt) -> bool:
    """Whether user traffic decides on a candidate after the checks before it; a first one has nothing to be beside."""
    return attempt.strategy in ("canary", "shadow") and attempt.incumbent is not None and not attempt.boot


def alpha_of(context: DeploymentContext, attempt: Attempt) -> float:
    """What each kind of check of this rollout may spend of the error that all of them share."""
    return error_shared(context.wanted.resolved.declaration, by_traffic=by_traffic(attempt))


def error_shared(declaration: Deployment, *, by_traffic: bool) -> float:
    """The same as the declaration alone tells it, for a rollout that traffic decides or does not."""
    tests = {stage.test for stage in stages(declaration)} if by_traffic else set()
    return share(ALPHA, (declaration.verify.holdout is not None) + len(tests))


def goal_of(stage: int, all_stages: tuple[Stage, ...], alpha: float) -> float:
    """The e-value that ends a stage: an equal part of the logarithm of what its test needs for each of its stages."""
    mine = [n for n, s in enumerate(all_stages) if s.test == all_stages[stage].test]
    return math.exp(math.log(1 / alpha) * (mine.index(stage) + 1) / len(mine))


def plan_traffic(context: DeploymentContext, attempt: Attempt, incumbent: Generation) -> Steps:
    """The next step of a candidate that is among users: both sides whole, routed as its stage says, and watched."""
    declaration = context.wanted.resolved.declaration
    found = stages(declaration)
    number = min(attempt.stage or 0, len(found) - 1)
    stage = found[number]
    candidate, incumbent = context.current(attempt.generation), context.current(incumbent)
    theirs, their_bad = partition_replicas(context, incumbent)
    ours, our_bad = partition_replicas(context, candidate)
    # A candidate that crashes or hangs is left as it is: the watch judges it by what its users get.
    crashing = [c for c, _ in our_bad if c.state == "restarting" or context.hangs(c, candidate)]
    leaving = [c for c, _ in (*their_bad, *our_bad) if c not in crashing]
    steps: Steps = [
        *_start(context, incumbent, theirs, healing=True),
        *_start(context, candidate, ours + crashing, healing=False),
    ]

    def route_at(stage: Stage) -> bytes:
        return split_route(
            context.name,
            (incumbent, theirs),
            (candidate, ours + crashing),
            percent=stage.percent,
            mirror=stage.mirror,
            pin_header=context.wanted.pin_header,
        )

    drift = difference_of_route(context, route_at(stage))
    if number and context.snapshot.routes.get(context.name) == route_at(found[number - 1]):
        drift = f"stage {number + 1} begins"
    if steps or leaving or drift or attempt.stage is None:
        steps.append(
            plan.Shift(
                deployment=context.name,
                generation=candidate,
                incumbent=incumbent,
                attempt=attempt,
                stage=number,
                percent=stage.percent,
                mirror=stage.mirror,
                without=tuple(c.id for c in leaving),
                because=_CLEARED if attempt.stage is None else (drift or "a replica changed"),
            )
        )
    unknown_containers = [
        c for c in context.containers if c.generation not in (candidate.fingerprint, incumbent.fingerprint)
    ]
    hanging = [c for c, _ in their_bad if context.hangs(c, incumbent)]
    if hanging:
        steps.append(remove(context.name, hanging, "a replica does not answer", healing=True))
    retired = [c for c in (*leaving, *unknown_containers) if c not in hanging]
    if retired:
        steps.append(retire(context.name, retired, "it cannot serve", healing=True))
    stages_left = number + 1 < len(found)
    steps.append(
        plan.Watch(
            deployment=context.name,
            generation=candidate,
            incumbent=incumbent,
            attempt=attempt,
            traffic=declaration.verify.traffic or Traffic(),
            stage=number,
            stages=len(found),
            percent=stage.percent,
            mirror=stage.mirror,
            new_test=stages_left and found[number + 1].test != stage.test,
            alpha=alpha_of(context, attempt),
            goal=goal_of(number, found, alpha_of(context, attempt)),
            then=declaration.verify.prometheus,
            endpoint=context.wanted.endpoint,
            because=f"stage {number + 1} of {len(found)} is not decided",
        )
    )
    return steps


def _start(context: DeploymentContext, generation: Generation, there: list[Container], *, healing: bool) -> Steps:
    absent = missing_replicas(context, there)
    if not absent:
        return []
    because = f"{len(there)} of {context.replicas} replicas run"
    return [
        plan.Start(
            deployment=context.name,
            generation=generation,
            replicas=absent,
            because=because,
            await_ready=True,
            healing=healing,
        )
    ]
