"""Plan one deployment in this pass: begin a rollout, take it one step further, or heal the serving generation.

From top to bottom this is the life of a rollout: begun, started and verified, then promoted or called off. The serving
generation is healed meanwhile, except with the strategy recreate, which stops it.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gitops_ml.core.declaration.checks import Checks
from gitops_ml.core.declaration.schema import Deployment, Desired, ResolvedDeployment
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Outcome
from gitops_ml.core.journal.reviews import returns_to_verified
from gitops_ml.core.journal.state import Attempt, DeploymentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.canary import attempt_alpha, decided_by_traffic, plan_traffic
from gitops_ml.core.planning.context import (
    DeploymentContext,
    PlannedDeployment,
    Steps,
    generations_of,
    ids_of,
    missing_replicas,
    partition_replicas,
    remove,
    retire,
)
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.planning.healing import heal, remove_leftovers
from gitops_ml.core.planning.next_rollout import cause, next_attempt
from gitops_ml.core.planning.status import status_of


def plan_deployment(
    wanted: PlannedDeployment, snapshot: Snapshot, state: DeploymentState, now: datetime
) -> tuple[Steps, DeploymentStatus]:
    """Plan one declared deployment, and say where it stands now."""
    context = DeploymentContext(wanted=wanted, snapshot=snapshot, state=state, now=now)
    steps = _continue(context, state.open) if state.open else _heal_or_begin(context)
    return steps, status_of(context, steps)


def plan_broken(
    name: str, desired: Desired, snapshot: Snapshot, state: DeploymentState, now: datetime
) -> tuple[Steps, DeploymentStatus] | None:
    """Plan a deployment whose declaration cannot be read. None if nothing of it serves.

    The serving generation is planned as if it were declared, with its present number of replicas. So an open rollout
    is called off.
    """
    serving = state.serving
    if serving is None:
        return None
    present = [c.replica for c in snapshot.replicas(name) if c.generation == serving.fingerprint]
    replicas = max(1, max(present, default=0) + 1)
    as_it_serves = Deployment(schema=1, model=serving.model, version=serving.version, replicas=replicas)
    resolved = ResolvedDeployment(
        name=name, declaration=as_it_serves, digest=serving.digest, revision=serving.revision, path=serving.path
    )
    steps, status = plan_deployment(PlannedDeployment.of(desired, resolved, serving), snapshot, state, now)
    message = desired.broken[name].split("\n", 1)[0]
    return steps, msgspec.structs.replace(status, sync="OutOfSync", message=message)


def plan_withdrawal(name: str, snapshot: Snapshot) -> Steps:
    """Plan the removal of a deployment that is no longer declared."""
    because = "it is no longer declared"
    steps: Steps = []
    if name in snapshot.routes:
        steps.append(plan.Unroute(deployment=name, because=because))
    ids = ids_of(list(snapshot.replicas(name)))
    if ids:
        steps.append(plan.Retire(deployment=name, containers=ids, label=f"x{len(ids)}", because=because))
    steps.append(plan.Withdraw(deployment=name, because=because))
    return steps


# --- a rollout begins ------------------------------------------------------------------------------------------------


def _heal_or_begin(context: DeploymentContext) -> Steps:
    """No rollout is open: heal the serving generation, and begin a rollout if another one is declared."""
    attempt, serving = next_attempt(context), context.state.serving
    candidate = attempt.generation if attempt else None
    steps = heal(context, serving, spared=candidate) if serving else remove_leftovers(context, spared=candidate)
    if attempt:
        because = cause(context, attempt)
        begin = plan.Begin(deployment=context.name, generation=attempt.generation, attempt=attempt, because=because)
        steps += [begin, *_bring_up(context, attempt, because)]
    return steps


def _bring_up(context: DeploymentContext, attempt: Attempt, because: str) -> Steps:
    """Build, start and verify a candidate.

    With recreate, everything else is stopped first. That is left to the pass after the build, and the candidate's
    containers are created before it: a build or a container that the engine refuses stops nothing.
    """
    generation, name = context.current(attempt.generation), context.name
    steps: Steps = []
    if generation.image_id is None:
        steps.append(plan.Build(deployment=name, generation=generation, attempt=attempt.id, because=because))
        if attempt.strategy == "recreate" and attempt.incumbent:
            return steps
    good, bad = partition_replicas(context, generation)
    missing = missing_replicas(context, good)
    if bad:
        steps.append(remove(name, [c for c, _ in bad], bad[0][1]))
    if recreates := attempt.strategy == "recreate":
        steps += _make_room(context, generation, missing)
    start = plan.Start(deployment=name, generation=generation, replicas=missing, created=recreates, because=because)
    verify = plan.Verify(
        deployment=name,
        generation=generation,
        attempt=attempt,
        checks=Checks() if attempt.boot else context.wanted.resolved.declaration.verify,
        holdout=None if attempt.boot else context.wanted.resolved.holdout,
        commit=context.wanted.generation.commit,
        compare=not returns_to_verified(context.state, attempt.generation),
        then_traffic=decided_by_traffic(attempt),
        alpha=attempt_alpha(context, attempt),
        because="it is not verified yet",
    )
    return [*steps, *([start] if missing else []), verify]


def _make_room(context: DeploymentContext, candidate: Generation, missing: tuple[int, ...]) -> Steps:
    """Stop everything else that runs, once the candidate's missing replicas are created."""
    running = [c for c in context.containers if c.generation != candidate.fingerprint and c.state == "running"]
    because, name = "the strategy is recreate", context.name
    stop = plan.Stop(deployment=name, containers=ids_of(running), label=generations_of(running), because=because)
    because = "the engine may refuse them, and nothing is stopped yet"
    create = plan.Create(deployment=name, generation=candidate, replicas=missing, because=because)
    return ([create, stop] if missing else [stop]) if running else []


# --- a rollout goes on -----------------------------------------------------------------------------------------------


def _continue(context: DeploymentContext, attempt: Attempt) -> Steps:
    """Plan the next step of an open rollout. A verdict is acted on whatever is declared now, so none is lost."""
    if attempt.verdict == "Failed":
        return _call_off(context, attempt, "failed", "its verification failed")
    if attempt.verdict in ("Inconclusive", "Unverified"):
        return _call_off(context, attempt, "inconclusive", "its verification is inconclusive")
    if not attempt.boot and attempt.generation.fingerprint != context.wanted.generation.fingerprint:
        return _call_off(context, attempt, "superseded", "a newer commit declares something else")
    if not attempt.boot and context.on_hold:
        return _call_off(context, attempt, "superseded", f"it is on hold: {context.on_hold}")
    if attempt.verdict == "Verified":
        return _promote(context, attempt)
    if attempt.cleared and attempt.incumbent is not None:
        return plan_traffic(context, attempt, attempt.incumbent)
    return [*_heal_incumbent(context, attempt), *_bring_up(context, attempt, "its rollout was interrupted")]


def _heal_incumbent(context: DeploymentContext, attempt: Attempt) -> Steps:
    """Heal the incumbent while its candidate is not ready, unless recreate has stopped it to make room."""
    made_room = attempt.strategy == "recreate" and attempt.generation.image_id is not None
    if attempt.incumbent is None or made_room:
        return []
    return heal(context, attempt.incumbent, spared=attempt.generation)


def _promote(context: DeploymentContext, attempt: Attempt) -> Steps:
    """Complete the candidate, send all traffic to it, and retire the others."""
    generation, name = context.current(attempt.generation), context.name
    good, bad = partition_replicas(context, generation)
    steps: Steps = []
    if missing := missing_replicas(context, good):
        steps += _heal_incumbent(context, attempt)
        because = "a replica is gone"
        start = plan.Start(deployment=name, generation=generation, replicas=missing, because=because, await_ready=True)
        steps.append(start)
    without = ids_of([c for c, _ in bad])
    steps += [
        plan.Route(deployment=name, generation=generation, without=without, because="it is verified"),
        plan.Settle(
            deployment=name,
            generation=generation,
            attempt=attempt.id,
            outcome="promoted",
            because="it has all traffic",
        ),
    ]
    others = [c for c in context.containers if c.generation != generation.fingerprint]
    if others:
        steps.append(retire(name, others, f"{generation.fingerprint} took over"))
    return steps


def _call_off(context: DeploymentContext, attempt: Attempt, outcome: Outcome, because: str) -> Steps:
    """End a rollout without its candidate: all traffic to the incumbent, then the candidate goes.

    The end does not wait for an incumbent that cannot be healed, unless the candidate has traffic: then the candidate
    stays until a replica of the incumbent serves.
    """
    candidates, routed = context.of(attempt.generation), context.routed_to(attempt.generation)
    # A pass that was cut off may have removed the route while users still have requests in flight.
    take_away = retire if routed or attempt.routed else remove
    leaving = [take_away(context.name, candidates, because)] if candidates else []
    settle = plan.Settle(
        deployment=context.name, generation=attempt.generation, attempt=attempt.id, outcome=outcome, because=because
    )
    if attempt.incumbent is None:
        routes = context.snapshot.routes
        unroute = [plan.Unroute(deployment=context.name, because=because)] if context.name in routes else []
        return [*unroute, *leaving, settle]
    if attempt.strategy == "recreate":
        return [*leaving, *_start_again(context, attempt.incumbent, because), settle]
    rerouted = because if routed else ""
    healed = heal(context, attempt.incumbent, spared=attempt.generation, healing=not routed, rerouted=rerouted)
    return [*healed, *leaving, settle]


def _start_again(context: DeploymentContext, incumbent: Generation, because: str) -> Steps:
    """Start an incumbent that was stopped for its candidate, and route to it."""
    name, incumbent = context.name, context.current(incumbent)
    containers = context.of(incumbent)
    stopped = [c for c in containers if c.state in ("exited", "created")]
    running = [c for c in containers if c.state == "running"]
    missing = missing_replicas(context, running + stopped)
    steps: Steps = []
    if stopped or missing:
        steps.append(
            plan.Start(
                deployment=name,
                generation=incumbent,
                replicas=missing,
                resume=ids_of(stopped),
                because=because,
                await_ready=True,
                healing=True,
            )
        )
    steps.append(plan.Route(deployment=name, generation=incumbent, because=because, healing=True))
    return steps
