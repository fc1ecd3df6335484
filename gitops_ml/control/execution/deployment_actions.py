"""Performing one deployment's actions of a plan, in their order, up to an error or a verdict."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from gitops_ml.control.backoff import name_of
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.checks.rejected import rejected
from gitops_ml.control.events import check_event
from gitops_ml.control.execution.actions import perform
from gitops_ml.control.session import Session
from gitops_ml.core.journal.entries import Judged
from gitops_ml.core.planning import plan
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import GitopsError, LockLost, ModelRejected, Superseded


@dataclass
class Outcome:
    """What one deployment's actions came to. `tried` and `errors` are by the names of the back-off.

    `judged`: a verdict was reached, which a new plan acts upon at once.
    """

    tried: set[str] = field(default_factory=set)
    errors: dict[str, GitopsError] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    judged: bool = False


def perform_all(steps: Sequence[plan.Action], session: Session, healed: threading.Event) -> Outcome:
    """Perform one deployment's actions in their order. After a failed healing action, skip the other healing actions.

    `healed` is set when no healing action is left.

    Raises `LockLost` and whatever is no `Exception`; any other error is in the outcome.
    """
    deployment, outcome = steps[0].deployment, Outcome()
    verdict = _verdict(session, deployment)
    for number, step in enumerate(steps):
        if not any(later.healing for later in steps[number:]):
            healed.set()
        name = name_of(step)
        if step.healing and name in outcome.errors:
            continue
        outcome.tried.add(name)
        try:
            _perform_or_judge(step, session)
        except LockLost:
            raise
        except Superseded as error:
            session.report(f"stop {error.what}")
            break
        except Exception as error:
            outcome.errors[name] = as_gitops_error(error, f"{session.environment}/{deployment}")
            if not step.healing:
                break
        else:
            if isinstance(step, plan.Settle):
                outcome.settled.append(step.outcome)
        outcome.judged = verdict is None and _verdict(session, deployment) is not None
        if outcome.judged:
            break
    return outcome


def _perform_or_judge(step: plan.Action, session: Session) -> None:
    """Perform an action. A candidate whose files are malformed is judged Failed for it."""
    try:
        perform(step, session)
    except ModelRejected as error:
        attempt = session.state.of(step.deployment).open
        generation = getattr(step, "generation", None)
        if attempt is None or generation is None or generation.fingerprint != attempt.generation.fingerprint:
            raise
        check = rejected(error)
        session.report(check_event(session.environment, step.deployment, check))
        session.write(
            Judged(
                at=session.now().isoformat(),
                attempt=attempt.id,
                deployment=step.deployment,
                verdict="Failed",
                checks=(check,),
            )
        )


def _verdict(session: Session, deployment: str) -> Verdict | None:
    attempt = session.state.of(deployment).open
    return attempt.verdict if attempt else None
