"""A candidate among users: the stages of its traffic, each held until its requests decide.

A canary gets a growing share of the traffic. A shadow gets a copy of it, and users see only the incumbent's answers.
Each kind of traffic is judged by one sequential test. The evidence that a test needs is divided among its stages: a
stage ends when its part has been reached.
"""

from __future__ import annotations

import math

import msgspec

from gitops_ml.core.declaration.checks import SubscribersCheck, Traffic
from gitops_ml.core.declaration.schema import Deployment, Rollout
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import (
    HANGING_GRACE,
    DeploymentContext,
    Steps,
    missing_replicas,
    partition_replicas,
    remove,
    retire,
    route_difference,
    split_route,
)
from gitops_ml.core.verification.holdout_metrics import ALPHA
from gitops_ml.core.verification.verdict import alpha_per_test

MIRROR_PERCENT = 100
"""A shadow gets a copy of this percentage of the requests."""


class TrafficStage(msgspec.Struct, frozen=True, kw_only=True):
    """One share of traffic. Stages with the same `test` share one sequential test.

    A shadow's copied requests have a test of their own, since no user waits for their answers.
    """

    percent: int
    mirror: bool
    test: int


def stages(rollout: Rollout, strategy: str, reached: int = 0) -> tuple[TrafficStage, ...]:
    """The stages of a rollout that traffic decides, at least one.

    Args:
        rollout: what is declared now. Its steps may have changed since the rollout began.
        strategy: `canary` or `shadow`, as the rollout began. A strategy that is declared later is for the next one.
        reached: the stage that the rollout is in. A shadow that has become a canary stays a canary.
    """
    shares = tuple(TrafficStage(percent=percent, mirror=False, test=1) for percent in sorted(set(rollout.steps)))
    if strategy != "shadow":
        return shares
    shadow = TrafficStage(percent=MIRROR_PERCENT, mirror=True, test=0)
    return (shadow, *shares) if rollout.then == "canary" or reached else (shadow,)


def decided_by_traffic(attempt: Attempt) -> bool:
    """Whether user traffic decides after the checks before it. Never for a first deployment: it has no incumbent."""
    return attempt.strategy in ("canary", "shadow") and attempt.incumbent is not None and not attempt.boot


def attempt_alpha(context: DeploymentContext, attempt: Attempt) -> float:
    """The part of ALPHA that each check of this rollout may spend."""
    declaration = context.wanted.resolved.declaration
    return shared_alpha(declaration, _attempt_stages(declaration, attempt) if decided_by_traffic(attempt) else ())


def shared_alpha(declaration: Deployment, traffic_stages: tuple[TrafficStage, ...]) -> float:
    """The part of ALPHA for each check: the holdout, if it is declared, and each test of these stages share it.

    What the subscribers of a published model say is counted, not estimated, and spends nothing.
    """
    tests = set() if declaration.serve.pattern == "publish" else {stage.test for stage in traffic_stages}
    return alpha_per_test(ALPHA, (declaration.verify.holdout is not None) + len(tests))


def _attempt_stages(declaration: Deployment, attempt: Attempt) -> tuple[TrafficStage, ...]:
    return stages(declaration.rollout, attempt.strategy, attempt.stage or 0)


def goal_of(number: int, all_stages: tuple[TrafficStage, ...], alpha: float) -> float:
    """The e-value that ends a stage: the stages of a test share the logarithm of what the test needs in equal parts."""
    same_test = [n for n, stage in enumerate(all_stages) if stage.test == all_stages[number].test]
    return math.exp(math.log(1 / alpha) * (same_test.index(number) + 1) / len(same_test))


def plan_traffic(context: DeploymentContext, attempt: Attempt, incumbent: Generation) -> Steps:
    """Plan the next step of a candidate among users: complete both sides, route to them, and watch the requests."""
    declaration = context.wanted.resolved.declaration
    all_stages = _attempt_stages(declaration, attempt)
    number = min(attempt.stage or 0, len(all_stages) - 1)
    stage, last = all_stages[number], number + 1 == len(all_stages)
    alpha = attempt_alpha(context, attempt)
    incumbent, candidate = context.current(incumbent), context.current(attempt.generation)
    steps = _complete_and_route(context, attempt, (incumbent, candidate), all_stages, number)
    steps.append(
        plan.Watch(
            deployment=context.name,
            generation=candidate,
            incumbent=incumbent,
            attempt=attempt,
            traffic=declaration.verify.traffic or Traffic(),
            subscribers=declaration.verify.subscribers or SubscribersCheck(),
            stage=number,
            stages=len(all_stages),
            percent=stage.percent,
            mirror=stage.mirror,
            new_test=not last and all_stages[number + 1].test != stage.test,
            alpha=alpha,
            goal=goal_of(number, all_stages, alpha),
            prometheus=declaration.verify.prometheus,
            endpoint=context.wanted.endpoint,
            because=f"stage {number + 1} of {len(all_stages)} is not decided",
        )
    )
    return steps


def _complete_and_route(
    context: DeploymentContext,
    attempt: Attempt,
    sides: tuple[Generation, Generation],
    all_stages: tuple[TrafficStage, ...],
    number: int,
) -> Steps:
    """Start what is missing of incumbent and candidate, give each its share, and retire all other containers."""
    incumbent, candidate = sides
    incumbent_good, incumbent_bad = partition_replicas(context, incumbent)
    candidate_good, candidate_bad = partition_replicas(context, candidate)
    # A candidate that crashes or hangs keeps its traffic: the watch judges it by what its users get.
    failing = [c for c, _ in candidate_bad if c.state == "restarting" or context.hangs(c, candidate)]
    routed = candidate_good + failing
    leaving = [c for c, _ in (*incumbent_bad, *candidate_bad) if c not in failing]
    steps: Steps = [
        *_start(context, incumbent, incumbent_good, healing=True),
        *_start(context, candidate, routed, healing=False),
    ]

    def route_of(stage: TrafficStage) -> bytes:
        return split_route(
            context.name,
            (incumbent, incumbent_good),
            (candidate, routed),
            percent=stage.percent,
            mirror=stage.mirror,
            pin_header=context.wanted.pin_header,
        )

    stage = all_stages[number]
    because = route_difference(context, route_of(stage))
    if number and context.snapshot.routes.get(context.name) == route_of(all_stages[number - 1]):
        because = f"stage {number + 1} begins"
    if attempt.stage is None:
        because = "it passed the checks before traffic"
    if steps or leaving or because:
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
                because=because or "a replica changed",
            )
        )
    unknown = [c for c in context.containers if c.generation not in (candidate.fingerprint, incumbent.fingerprint)]
    hanging = [c for c, _ in incumbent_bad if context.hangs(c, incumbent)]
    if hanging:
        steps.append(remove(context.name, hanging, "a replica does not answer", healing=True, grace=HANGING_GRACE))
    retired = [c for c in (*leaving, *unknown) if c not in hanging]
    if retired:
        steps.append(retire(context.name, retired, "it cannot serve", healing=True))
    return steps


def _start(context: DeploymentContext, generation: Generation, present: list[Container], *, healing: bool) -> Steps:
    missing = missing_replicas(context, present)
    if not missing:
        return []
    return [
        plan.Start(
            deployment=context.name,
            generation=generation,
            replicas=missing,
            because=f"{len(present)} of {context.replicas} replicas run",
            await_ready=True,
            healing=healing,
        )
    ]
