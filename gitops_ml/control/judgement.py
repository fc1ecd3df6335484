"""The judgement of a serving generation: its checks run without the lock, so it says whether it still holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gitops_ml.control.checks import run as checks
from gitops_ml.control.session import ReadOnlySession
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.reviews import STRATEGY, candidate_has_users, review_attempt
from gitops_ml.core.journal.state import Attempt, DeploymentState, quarantine_key
from gitops_ml.core.observed import Container
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.verification.verdict import CheckResult, Verdict, overall


@dataclass(frozen=True)
class Judgement:
    """What the checks said of the serving generation.

    `key`: its quarantine key. `replicas`: the IDs of the containers that ran when the checks began. `at_endpoint`: some
    checks asked the deployment's public URL.
    """

    serving: Generation
    key: str
    checks: tuple[CheckResult, ...]
    logs: str
    started: datetime
    replicas: frozenset[str]
    at_endpoint: bool

    @property
    def verdict(self) -> Verdict:
        return overall(self.checks)

    def still_holds(self, before: DeploymentState, now: DeploymentState, containers: Sequence[Container]) -> bool:
        """Whether the same replicas serve, and a public URL that was asked reached no other generation meanwhile."""
        if now.serving is None or now.serving.fingerprint != self.serving.fingerprint:
            return False
        if not self.replicas <= {container.id for container in containers}:
            return False
        return not self.at_endpoint or _rollouts_with_users(now) <= _rollouts_with_users(before)

    def attempt(self, state: DeploymentState, settled: datetime) -> Attempt:
        """The attempt that this judgement is kept as."""
        return review_attempt(
            state,
            self.serving,
            key=self.key,
            checks=self.checks,
            logs=self.logs,
            started=self.started,
            now=settled,
        )


def _rollouts_with_users(state: DeploymentState) -> set[str]:
    """The IDs of the rollouts that ended, and of the open one if its candidate answers users."""
    ended = {attempt.id for attempt in state.attempts if attempt.strategy != STRATEGY}
    return ended | ({state.open.id} if state.open and candidate_has_users(state) else set())


def running_replicas(session: ReadOnlySession, serving: Generation) -> frozenset[str]:
    """The IDs of the serving generation's running containers."""
    containers = session.containers(serving.deployment)
    return frozenset(c.id for c in containers if c.generation == serving.fingerprint and c.state == "running")


def judge(
    session: ReadOnlySession,
    wanted: PlannedDeployment,
    state: DeploymentState,
    serving: Generation,
    running: frozenset[str],
) -> Judgement:
    """Run the checks that the tip declares on the serving generation."""
    spec, started = wanted.resolved.declaration.verify, session.now()
    key = quarantine_key(serving, wanted.resolved.declaration, wanted.resolved.holdout)
    # A published model's own checks ask its server, as they did before it was published: users never reach that.
    endpoint = "" if candidate_has_users(state) or serving.published else wanted.endpoint
    report = checks.verify(
        session,
        plan.Verify(
            deployment=wanted.name,
            generation=serving,
            attempt=review_attempt(state, serving, key=key, checks=(), logs="", started=started, now=started),
            checks=spec,
            holdout=wanted.resolved.holdout,
            commit=wanted.generation.commit,
            review=True,
            endpoint=endpoint,
            because="a person asked, or a schedule",
        ),
    )
    return Judgement(
        serving=serving,
        key=key,
        checks=tuple(report.checks),
        logs=report.logs,
        started=started,
        replicas=running,
        at_endpoint=bool(endpoint and spec.own),
    )
