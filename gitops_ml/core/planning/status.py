"""Where a deployment stands: sync, health, verification and hold, four states that are never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.state import Attempt, LastError
from gitops_ml.core.observed import Container
from gitops_ml.core.planning.context import DeploymentContext, Steps
from gitops_ml.core.planning.deployment_status import DeploymentStatus, Health, Replicas
from gitops_ml.core.planning.next_rollout import waiting
from gitops_ml.core.verification.verdict import Verdict

CRASHES, RECENT = 2, timedelta(days=1)
"""A replica that the engine has started again so often, last within this time, is Degraded although it answers."""


def status_of(context: DeploymentContext, steps: Steps) -> DeploymentStatus:
    """The status of a deployment before this pass takes `steps`."""
    wanted, serving = context.wanted, context.state.serving
    shown = serving or wanted.generation
    running = [c for c in context.of(shown) if c.state == "running"] if serving else []
    ready = sum(1 for c in running if (backend := context.snapshot.backends.get(c.alias)) and backend.up)
    synced = serving is not None and serving.fingerprint == wanted.generation.fingerprint and not steps
    verification, message = _verification(context)
    awaited = waiting(context)
    crashes = _crashes(context, running)
    message = "; ".join(filter(None, (message, awaited.sentence if awaited else "", crashes)))
    unrecorded = [a for a in context.state.attempts if not a.recorded and a.outcome != "superseded"]
    if unrecorded:
        version = unrecorded[-1].generation.version
        message = f"the verdict on {version} is not in Git yet: gitops-ml sync {wanted.full_name}"
    return DeploymentStatus(
        name=wanted.name,
        model=wanted.resolved.declaration.model,
        version=shown.version,
        digest=shown.digest,
        generation=shown.fingerprint,
        sync="Synced" if synced else "OutOfSync",
        health="Degraded" if serving and (unrecorded or (crashes and ready)) else _health(context, serving, ready),
        verification=verification,
        hold=context.on_hold,
        replicas=Replicas(desired=context.replicas, ready=ready),
        endpoint=wanted.endpoint,
        message=message,
        waiting=awaited,
    )


def with_error(status: DeploymentStatus, errors: Sequence[LastError], steps: Sequence[object]) -> DeploymentStatus:
    """The status with the newest of its errors. Where it is as declared and healthy, they are over."""
    over = not steps and status.sync == "Synced" and status.health == "Healthy"
    newest = max(errors, key=lambda error: error.at, default=None)
    return status if over else msgspec.structs.replace(status, error=newest)


def _health(context: DeploymentContext, serving: Generation | None, ready: int) -> Health:
    if serving is None:
        return "Progressing" if context.state.open else "Missing"
    if ready >= context.replicas:
        return "Progressing" if context.state.open else "Healthy"
    return "Degraded" if ready else "Missing"


def _under_way(context: DeploymentContext, attempt: Attempt) -> str:
    """Say that a rollout is open, and what to do where nobody works on it: an error may have ended its sync."""
    message = f"rollout of {attempt.generation.version} under way"
    if context.snapshot.of_role("lock"):
        return message
    command = f"gitops-ml sync {context.wanted.full_name}"
    return (
        f"{message} since {attempt.started[:16]}; where no agent or sync is at work, {command} goes on or says why not"
    )


def _crashes(context: DeploymentContext, running: list[Container]) -> str:
    """What is wrong with a replica that the engine starts again and again; empty if there is none."""
    for container in running:
        facts = container.facts
        if facts is None or facts.restarts < CRASHES or not facts.started:
            continue
        since = context.snapshot.at - datetime.fromisoformat(facts.started)
        if since < RECENT:
            reason = (
                f"was killed for using all of its {facts.memory >> 20} MB of memory" if facts.out_of_memory else "ended"
            )
            return f"replica {container.replica} {reason}, and was started again {facts.restarts} times"
    return ""


def _verification(context: DeploymentContext) -> tuple[Verdict, str]:
    """The verdict on the declared generation, and a message: from its open rollout, or its newest attempt."""
    state, wanted = context.state, context.wanted
    if state.open and not state.open.boot:
        return state.open.verdict or "Unverified", _under_way(context, state.open)
    attempt = state.of_key(wanted.key)
    serves = state.serving is not None and state.serving.fingerprint == wanted.generation.fingerprint
    if attempt and attempt.verdict:
        failing = [check for check in attempt.checks if check.prevents_verified]
        message = f"{attempt.generation.version}: {failing[0].name}: {failing[0].reason}" if failing else ""
        if wanted.key in state.quarantine and not serves:
            message += f"; to try it again: gitops-ml sync {wanted.full_name} --retry"
        return attempt.verdict, message
    if state.serving and serves:
        fingerprint = state.serving.fingerprint
        verdicts = [a.verdict for a in state.attempts if a.generation.fingerprint == fingerprint and a.verdict]
        return (verdicts[-1] if verdicts else "Unverified"), ""
    return "Unverified", ""
