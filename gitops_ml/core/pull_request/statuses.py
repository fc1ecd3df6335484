"""Commit statuses: what a forge shows at a commit of the verdict on what it declares.

They follow the verdict, not the job: a sync that ends well may have stopped a bad version. One status for each
environment and deployment, at the commit that declared the generation.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import msgspec

from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.records.record import record_path
from gitops_ml.core.records.verified import parse_time
from gitops_ml.core.text import clean_line

LONGEST = 140
"""The most characters that GitHub takes as a description."""
_RECENT = timedelta(days=1)
"""A verdict is told again for so long, since a job that died may not have told it. GitHub keeps 1,000 of a kind."""


State = Literal["pending", "success", "failure", "cancelled"]


class RecordPlace(NamedTuple):
    """A record in Git: a file at a commit."""

    commit: str
    path: str


class CommitStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The status of one commit. `context` names environment and deployment, `record` is what Git has of a verdict.

    `page` is the address of the deployment's page; empty if the page has none.
    """

    commit: str
    context: str
    state: State
    description: str
    record: RecordPlace | None = None
    page: str = ""


def commit_statuses(
    environment: str, tip: str, state: EnvironmentState, statuses: Iterable[DeploymentStatus], now: datetime
) -> list[CommitStatus]:
    """The statuses that follow from one look at an environment.

    Args:
        tip: the commit that is reconciled to; a hold and an error are told there.
        now: the engine's time.
    """
    found = []
    for status in statuses:
        context = f"gitops-ml/{environment}/{status.name}"
        deployment = state.of(status.name)
        error, last = state.error_of(status.name, healing=False), deployment.last
        recent = last if last and not last.boot and last.outcome != "reviewed" and is_recent(last, now) else None
        if deployment.open and not deployment.open.boot:
            if recent and recent.outcome == "superseded":
                found.append(_verdict(environment, context, recent))
            found.append(_status(deployment.open.generation.commit, context, "pending", under_way(deployment.open)))
        elif status.hold is not None and status.sync == "OutOfSync":
            found.append(_status(tip, context, "pending", f"on hold: {status.hold}"))
        elif status.waiting is not None:
            found.append(_status(tip, context, "pending", status.waiting.sentence))
        elif error is not None and status.sync == "OutOfSync":
            found.append(_status(tip, context, "pending", f"tried again after an error: {error.what}"))
        elif recent:
            found.append(_verdict(environment, context, recent))
    newest = {(status.commit, status.context): status for status in found}
    return list(newest.values())


def is_recent(attempt: Attempt, now: datetime) -> bool:
    """Whether an attempt was settled so lately that its verdict is told again."""
    return attempt.settled is not None and now - parse_time(attempt.settled) < _RECENT


def record_of(environment: str, attempt: Attempt) -> RecordPlace | None:
    """Where Git has the record of an attempt; None until it has been pushed."""
    path = record_path(environment, attempt.deployment)
    return RecordPlace(attempt.recorded, path) if attempt.recorded else None


def under_way(attempt: Attempt) -> str:
    """What is done in an open rollout."""
    share = "" if attempt.stage is None else f", stage {attempt.stage + 1} of its traffic"
    return f"{attempt.strategy} of {attempt.generation.version} is under way{share}"


def _verdict(environment: str, context: str, attempt: Attempt) -> CommitStatus:
    state, description = verdict_on(attempt)
    return _status(attempt.generation.commit, context, state, description, record_of(environment, attempt))


def verdict_on(attempt: Attempt) -> tuple[Literal["success", "failure", "cancelled"], str]:
    """What a settled attempt came to, and a sentence about it."""
    version = attempt.generation.version
    reason = next((f": {c.name}, {c.reason}" for c in attempt.checks if c.prevents_verified), "")
    serves = f"; {attempt.incumbent.version} serves" if attempt.incumbent else ""
    if attempt.outcome == "superseded":
        return "cancelled", f"{version} was superseded by a newer commit"
    if attempt.outcome == "promoted" and attempt.verdict == "Verified":
        return "success", f"{version} is Verified and serves"
    if attempt.outcome == "promoted":
        return "success", f"{version} serves; nothing judged it"
    verdict = (attempt.verdict or attempt.outcome or "failed").lower()
    return "failure", f"{version} is {verdict}{serves}{reason}"


def _status(
    commit: str, context: str, state: State, description: str, record: RecordPlace | None = None
) -> CommitStatus:
    text = clean_line(description, LONGEST)
    return CommitStatus(commit=commit, context=context, state=state, description=text, record=record)
