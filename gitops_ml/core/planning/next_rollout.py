"""Which rollout of a deployment begins next, why, and what it waits for.

A hold and a quarantine stop it. A window only delays it, and never delays what brings back something verified.
"""

from __future__ import annotations

from datetime import datetime

from gitops_ml.core.declaration.windows import closed_until
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.reviews import goes_back, returns_to_verified
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning.context import DeploymentContext
from gitops_ml.core.planning.deployment_status import Waiting

BOOT_KEY = "boot"
"""The quarantine key of every boot. If the last verified generation fails on this host, the declared one may not."""


def next_attempt(context: DeploymentContext) -> Attempt | None:
    """The rollout to begin now, if any."""
    attempt = _due_attempt(context)
    return None if attempt is None or _delayed_until(context, attempt) else attempt


def waiting(context: DeploymentContext) -> Waiting | None:
    """The rollout that would begin now if a window were open; None if there is none."""
    attempt = None if context.state.open else _due_attempt(context)
    until = _delayed_until(context, attempt) if attempt else None
    if attempt is None or until is None:
        return None
    return Waiting(version=attempt.generation.version, generation=attempt.generation.fingerprint, until=until)


def _due_attempt(context: DeploymentContext) -> Attempt | None:
    """The rollout to begin in the next window. A hold stops every rollout except the boot of a blank host."""
    wanted, state = context.wanted, context.state
    generation, boot = wanted.generation, False
    if state.serving is None and not state.attempts and wanted.boot:
        boot = bool(context.on_hold) or wanted.boot.fingerprint != generation.fingerprint
        generation = wanted.boot if boot else generation
    if state.serving is not None and state.serving.fingerprint == generation.fingerprint:
        return None
    if not boot and (context.on_hold or wanted.key in state.quarantine):
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


def _delayed_until(context: DeploymentContext, attempt: Attempt) -> datetime | None:
    """When the next window opens, if the rollout has to wait for it."""
    state, wanted = context.state, context.wanted
    blank = state.serving is None and not state.attempts and wanted.boot is not None
    if blank or goes_back(state, attempt.generation):
        return None
    return closed_until(wanted.windows, context.now)


def _strategy(context: DeploymentContext, generation: Generation) -> str:
    """The declared strategy. A return to a verified generation takes over at once: it waits for no user traffic."""
    declared = context.wanted.resolved.declaration.rollout.strategy
    at_once = declared in ("canary", "shadow") and returns_to_verified(context.state, generation)
    return "blue-green" if at_once else declared


def cause(context: DeploymentContext, attempt: Attempt) -> str:
    """Why a rollout begins, as the plan prints it."""
    generation, serving = attempt.generation, context.state.serving
    if attempt.boot:
        return f"the host is blank and {generation.version} was verified last"
    if serving is None:
        return f"{generation.version} is declared and nothing serves"
    if returns_to_verified(context.state, generation):
        return f"{serving.version} failed a review and {generation.version} was verified before it"
    if serving.version != generation.version:
        return f"{generation.version} is declared and {serving.version} serves"
    if serving.digest != generation.digest:
        return f"{generation.version} has digest {generation.digest[4:12]} and {serving.digest[4:12]} serves"
    return f"the spec of {generation.version} changed"
