"""Which rollout of a deployment begins next, why, and what it waits for.

A hold and a quarantine stop it. A window and the hosts of earlier waves only delay it, and never delay what brings back
something verified.
"""

from __future__ import annotations

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
    attempt, waiting = _due(context)
    return None if waiting else attempt


def waiting(context: DeploymentContext) -> Waiting | None:
    """The rollout that would begin now if it had nothing to wait for; None if there is none."""
    return None if context.state.open else _due(context)[1]


def _due(context: DeploymentContext) -> tuple[Attempt | None, Waiting | None]:
    """The rollout to begin, and what it has to wait for.

    A hold stops every rollout except the boot of a blank host.
    """
    wanted, state = context.wanted, context.state
    generation, blank = wanted.generation, state.serving is None and not state.attempts
    boot = False
    if blank and wanted.boot:
        boot = bool(context.on_hold) or wanted.boot.fingerprint != generation.fingerprint
        generation = wanted.boot if boot else generation
    if state.serving is not None and state.serving.fingerprint == generation.fingerprint:
        return None, None
    if not boot and (context.on_hold or wanted.key in state.quarantine):
        return None, None
    attempt = Attempt(
        id=f"{generation.fingerprint}-{context.now.strftime('%Y%m%dT%H%M%S')}-{len(state.attempts) + 1}",
        generation=generation,
        incumbent=state.serving,
        strategy=_strategy(context, generation),
        key=BOOT_KEY if boot else wanted.key,
        started=context.now.isoformat(),
        boot=boot,
    )
    at_once = (blank and wanted.boot is not None) or goes_back(state, generation)
    opens = closed_until(wanted.windows, context.now)
    if at_once or not (opens or wanted.waits_for):
        return attempt, None
    return attempt, Waiting(
        version=generation.version, generation=generation.fingerprint, until=opens, hosts=wanted.waits_for
    )


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
