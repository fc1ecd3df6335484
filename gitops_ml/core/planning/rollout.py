"""What one deployment needs in this pass: begin a rollout, take it one step further, or heal what serves.

Read top to bottom it is the life of a rollout: begun, started and verified, then promoted or called off. The healing
of what serves goes on beside it (`healing`), except where the strategy is recreate: there the incumbent is stopped.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from gitops_ml.core.declaration.schema import Deployment, Desired, ResolvedDeployment, Verify, seconds
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Outcome
from gitops_ml.core.journal.reviews import goes_back
from gitops_ml.core.journal.state import Attempt, DeploymentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.canary import alpha_of, by_traffic, plan_traffic
from gitops_ml.core.planning.context import (
    DeploymentContext,
    PlannedDeployment,
    Steps,
    missing_replicas,
    partition_replicas,
    remove,
    retire,
)
from gitops_ml.core.planning.healing import clear, heal
from gitops_ml.core.planning.status import status_of

BOOT_KEY = "boot"
"""The quarantine key of every boot: that the last verified generation fails here says nothing of the tip."""


def plan_deployment(
    wanted: PlannedDeployment, snapshot: Snapshot, state: DeploymentState, now: datetime
) -> tuple[Steps, plan.DeploymentStatus]:
    """The actions that one declared deployment needs now, and where it stands."""
    context = DeploymentContext(wanted=wanted, snapshot=snapshot, state=state, now=now)
    steps = _continue(context, state.open) if state.open else _between(context)
    return steps, status_of(context, steps)


def plan_broken(
    name: str, desired: Desired, snapshot: Snapshot, state: DeploymentState, now: datetime
) -> tuple[Steps, plan.DeploymentStatus] | None:
    """The same for a deployment whose declaration cannot be read; None when nothing of it serves.

    What serves goes on as if it were declared, with as many replicas as there are; a rollout that was open is off.
    """
    serving = state.serving
    if serving is None:
        return None
    there = [c.replica for c in snapshot.replicas(name) if c.generation == serving.fingerprint]
    replicas = max(1, max(there, default=0) + 1)
    as_it_is = Deployment(schema=1, model=serving.model, version=serving.version, replicas=replicas)
    gateway = desired.environment.gateway
    wanted = PlannedDeployment(
        resolved=ResolvedDeployment(
            name=name, declaration=as_it_is, digest=serving.digest, revision=serving.revision, path=serving.path
        ),
        generation=serving,
        project=desired.project,
        environment=desired.name,
        drain=seconds(gateway.drain),
        pin_header=gateway.pin_header,
        endpoint=gateway.endpoint(name),
    )
    steps, status = plan_deployment(wanted, snapshot, state, now)
    message = desired.broken[name].split("\n", 1)[0]
    return steps, msgspec.structs.replace(status, sync="OutOfSync", message=message)


def plan_withdrawal(name: str, snapshot: Snapshot) -> Steps:
    """What takes a deployment away that is no longer declared."""
    because = "it is no longer declared"
    steps: Steps = []
    if name in snapshot.routes:
        steps.append(plan.Unroute(deployment=name, because=because))
    ids = tuple(c.id for c in snapshot.replicas(name))
    if ids:
        steps.append(plan.Retire(deployment=name, containers=ids, label=f"x{len(ids)}", because=because))
    steps.append(plan.Withdraw(deployment=name, because=because))
    return steps


# --- a rollout begins ------------------------------------------------------------------------------------------------


def _between(context: DeploymentContext) -> Steps:
    """No rollout is open: heal what serves, and begin one where something else is declared."""
    attempt, serving = _next_attempt(context), context.state.serving
    candidate = attempt.generation if attempt else None
    steps = heal(context, serving, spared=candidate) if serving else clear(context, spared=candidate)
    if attempt:
        because = _cause(context, attempt)
        begin = plan.Begin(deployment=context.name, generation=attempt.generation, attempt=attempt, because=because)
        steps += [begin, *_bring_up(context, attempt, because)]
    return steps


def _next_attempt(context: DeploymentContext) -> Attempt | None:
    """The rollout that is to begin now, if any. A hold stops every one but the boot of a blank host."""
    wanted, state = context.wanted, context.state
    generation, boot = wanted.generation, False
    if state.serving is None and not state.attempts and wanted.boot:
        boot = bool(context.held) or wanted.boot.fingerprint != generation.fingerprint
        generation = wanted.boot if boot else generation
    if state.serving is not None and state.serving.fingerprint == generation.fingerprint:
        return None
    if not boot and (context.held or wanted.key in state.quarantine):
        return None
    number = len(state.attempts) + 1
    return Attempt(
        id=f"{generation.fingerprint}-{context.now.strftime('%Y%m%dT%H%M%S')}-{number}",
        generation=generation,
        incumbent=state.serving,
        strategy=_strategy(context, generation),
        key=BOOT_KEY if boot else wanted.key,
        started=context.now.isoformat(),
        boot=boot,
    )


def _strategy(context: DeploymentContext, generation: Generation) -> str:
    """As declared; but what goes back from a generation that failed a review does not wait for users to decide."""
    declared = context.wanted.resolved.declaration.rollout.strategy
    at_once = declared in ("canary", "shadow") and goes_back(context.state, generation)
    return "blue-green" if at_once else declared


def _cause(context: DeploymentContext, attempt: Attempt) -> str:
    generation, serving = attempt.generation, context.state.serving
    if attempt.boot:
        return f"the host is blank and {generation.version} was verified last"
    if serving is None:
        return f"{generation.version} is declared and nothing serves"
    if goes_back(context.state, generation):
        return f"{serving.version} failed a review and {generation.version} was verified before it"
    if serving.version != generation.version:
        return f"{generation.version} is declared and {serving.version} serves"
    if serving.digest != generation.digest:
        return f"{generation.version} holds {generation.digest[4:12]} and {serving.digest[4:12]} serves"
    return f"the spec of {generation.version} changed"


def _bring_up(context: DeploymentContext, attempt: Attempt, because: str) -> Steps:
    """Build, start and verify a candidate.

    With recreate all else stops first, in the pass after the one that has built the image: what fails until then hurts
    nobody, and what is healed until then is stopped too.
    """
    generation, name = context.current(attempt.generation), context.name
    steps: Steps = []
    if generation.image_id is None:
        steps.append(plan.Build(deployment=name, generation=generation, attempt=attempt.id, because=because))
        if attempt.strategy == "recreate" and attempt.incumbent:
            return steps
    if attempt.strategy == "recreate":
        running = [c for c in context.containers if c.generation != generation.fingerprint and c.state == "running"]
        if running:
            ids, subject = tuple(c.id for c in running), ",".join(sorted({c.generation for c in running}))
            cause = "the strategy is recreate"
            steps.append(plan.Stop(deployment=name, containers=ids, label=subject, because=cause))
    good, bad = partition_replicas(context, generation)
    if bad:
        steps.append(remove(name, [c for c, _ in bad], bad[0][1]))
    if absent := missing_replicas(context, good):
        steps.append(plan.Start(deployment=name, generation=generation, replicas=absent, because=because))
    steps.append(
        plan.Verify(
            deployment=name,
            generation=generation,
            attempt=attempt,
            checks=Verify() if attempt.boot else context.wanted.resolved.declaration.verify,
            holdout=None if attempt.boot else context.wanted.resolved.holdout,
            commit=context.wanted.generation.commit,
            compare=not goes_back(context.state, attempt.generation),
            then_traffic=by_traffic(attempt),
            alpha=alpha_of(context, attempt),
            because="it has not been verified",
        )
    )
    return steps


# --- a rollout goes on -----------------------------------------------------------------------------------------------


def _continue(context: DeploymentContext, attempt: Attempt) -> Steps:
    """The next step of an open rollout. A verdict counts, whatever is declared by now: none is lost."""
    if attempt.verdict == "Failed":
        return _call_off(context, attempt, "failed", "its verification failed")
    if attempt.verdict in ("Inconclusive", "Unverified"):
        return _call_off(context, attempt, "inconclusive", "its verification is inconclusive")
    if not attempt.boot and attempt.generation.fingerprint != context.wanted.generation.fingerprint:
        return _call_off(context, attempt, "superseded", "a newer commit declares something else")
    if not attempt.boot and context.held:
        return _call_off(context, attempt, "superseded", f"it is held: {context.held}")
    if attempt.verdict == "Verified":
        return _promote(context, attempt)
    if attempt.cleared and attempt.incumbent is not None:
        return plan_traffic(context, attempt, attempt.incumbent)
    return [*_beside(context, attempt), *_bring_up(context, attempt, "its rollout was interrupted")]


def _beside(context: DeploymentContext, attempt: Attempt) -> Steps:
    """The healing of the incumbent while its candidate is not ready to take over, unless it made room for it."""
    made_room = attempt.strategy == "recreate" and attempt.generation.image_id is not None
    if attempt.incumbent is None or made_room:
        return []
    return heal(context, attempt.incumbent, spared=attempt.generation)


def _promote(context: DeploymentContext, attempt: Attempt) -> Steps:
    """All traffic to the candidate, which is whole, and then the others go."""
    generation, name = context.current(attempt.generation), context.name
    good, bad = partition_replicas(context, generation)
    steps: Steps = []
    if absent := missing_replicas(context, good):
        steps += _beside(context, attempt)
        because = "its replica is gone"
        steps.append(
            plan.Start(deployment=name, generation=generation, replicas=absent, because=because, await_ready=True)
        )
    without = tuple(c.id for c, _ in bad)
    steps += [
        plan.Route(deployment=name, generation=generation, without=without, because="it is verified"),
        plan.Settle(
            deployment=name,
            generation=generation,
            attempt=attempt.id,
            outcome="promoted",
            because="all traffic is on it",
        ),
    ]
    others = [c for c in context.containers if c.generation != generation.fingerprint]
    if others:
        steps.append(retire(name, others, f"{generation.fingerprint} took over"))
    return steps


def _call_off(context: DeploymentContext, attempt: Attempt, outcome: Outcome, because: str) -> Steps:
    """Traffic stays with the incumbent, or goes back to it; the candidate goes.

    The end of the rollout does not wait for an incumbent that cannot be healed, except where the candidate has the
    traffic: then it stays until the incumbent serves.
    """
    candidates, routed = context.of(attempt.generation), context.routed_to(attempt.generation)
    # Users may have requests in flight there, though a pass that was cut off has taken the route away already.
    leave = retire if routed or attempt.routed else remove
    leaving = [leave(context.name, candidates, because)] if candidates else []
    settle = plan.Settle(
        deployment=context.name, generation=attempt.generation, attempt=attempt.id, outcome=outcome, because=because
    )
    if attempt.incumbent is None:
        unroute = (
            [plan.Unroute(deployment=context.name, because=because)] if context.name in context.snapshot.routes else []
        )
        return [*unroute, *leaving, settle]
    if attempt.strategy == "recreate":
        return [*leaving, *_put_back(context, attempt.incumbent, because), settle]
    rerouted = because if routed else ""
    healed = heal(context, attempt.incumbent, spared=attempt.generation, apart=not routed, rerouted=rerouted)
    return [*healed, *leaving, settle]


def _put_back(context: DeploymentContext, incumbent: Generation, because: str) -> Steps:
    """Start an incumbent again that made room for its candidate, and route to it."""
    name, incumbent = context.name, context.current(incumbent)
    found = context.of(incumbent)
    stopped = [c for c in found if c.state in ("exited", "created")]
    running = [c for c in found if c.state == "running"]
    absent = missing_replicas(context, running + stopped)
    steps: Steps = []
    if stopped or absent:
        steps.append(
            plan.Start(
                deployment=name,
                generation=incumbent,
                replicas=absent,
                resume=tuple(c.id for c in stopped),
                because=because,
                await_ready=True,
                healing=True,
            )
        )
    steps.append(plan.Route(deployment=name, generation=incumbent, because=because, healing=True))
    return steps
