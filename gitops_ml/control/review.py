"""Judging again what serves, without deploying: the same checks, at any time.

A verdict that is another one than before is written into the journal and into Git, as a rollout's is. When it is
Failed, the record's commit puts the declaration back where policy says so, and an ordinary sync rolls out what was
verified before. Where the tip declares another generation by now, as it does while a canary is under way, that one's
own rollout decides, and nothing is put back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from gitops_ml.control import reconciler
from gitops_ml.control.checks import run as checks
from gitops_ml.control.observe import Target
from gitops_ml.control.session import Session
from gitops_ml.core.declaration.checks import Checks
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.fold import Reviewed
from gitops_ml.core.journal.reviews import candidate_has_users, newest_verdict, review_attempt
from gitops_ml.core.journal.state import Attempt, DeploymentState, quarantine_key
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.verification.verdict import CheckResult, Verdict, overall
from gitops_ml.errors import EngineFailed, GitopsError, InputError, LockLost, PushRejected


class DeploymentReview(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment, judged again. `before` is the last verdict on what serves; both are about that, not the tip.

    `declared_instead` is the version that the tip declares, where that is another generation: it is being rolled out,
    or was not let in. `goes_back_to` is the version that was verified before, where what serves has failed, is what the
    tip declares, and there is one.
    """

    name: str
    version: str
    generation: str
    verdict: Verdict
    before: Verdict | None
    checks: tuple[CheckResult, ...] = ()
    declared_instead: str | None = None
    goes_back_to: str | None = None

    @property
    def changed(self) -> bool:
        return self.verdict != self.before


@dataclass
class Review:
    """What judging an environment again came to. `errors` by deployment; `synced` is the sync that went back."""

    environment: str
    commit: str
    engine: str
    found: list[DeploymentReview] = field(default_factory=list)
    errors: dict[str, GitopsError] = field(default_factory=dict)
    recorded: str | None = None
    synced: reconciler.Result | None = None

    def serving(self, name: str) -> str | None:
        """The version of a deployment that serves after the sync that went back; None where there was none."""
        statuses = self.synced.view.plan.statuses if self.synced else ()
        return next((status.version for status in statuses if status.name == name), None)

    @property
    def exit_code(self) -> int:
        """0 Verified · 1 error · 3 Failed · 4 inconclusive, or nothing serves · 5 the record could not be pushed."""
        after = self.synced.exit_code if self.synced else 0
        if after == 5 or any(isinstance(error, PushRejected) for error in self.errors.values()):
            return 5
        if self.errors or after == 1:
            return 1
        verdicts = {finding.verdict for finding in self.found}
        if "Failed" in verdicts:
            return 3
        return 0 if verdicts <= {"Verified"} else 4


def review(target: Target, deployment: str | None = None) -> Review:
    """Judge what serves in one environment, or in one deployment of it.

    Raises what `observation.look` raises, `LockHeld`, and `InputError` for a deployment that is not declared.
    """
    with reconciler.holding(target) as (view, session):
        if deployment is not None and deployment not in {*view.wanted, *view.plan.broken}:
            raise InputError(
                f"{target.environment} declares no {deployment}",
                why=f"declared are {', '.join(sorted(view.wanted)) or 'none'}",
                fix=f"gitops-ml status {target.environment}",
            )
        done = Review(view.desired.name, view.desired.commit, view.snapshot.engine)
        for name in sorted(view.wanted):
            if deployment in (None, name):
                _one(session, view.wanted[name], view.state.of(name), done)
        for name, what in view.plan.broken.items():
            if deployment in (None, name):
                done.errors[name] = InputError(f"{name} is not judged: {what}")
        if view.state.unpublished or any(finding.changed for finding in done.found):
            try:
                done.recorded = reconciler.record(target, view, session)
            except PushRejected as error:
                done.errors[""] = error
    if done.recorded and any(finding.verdict == "Failed" and finding.goes_back_to for finding in done.found):
        done.synced = reconciler.sync(target)
    return done


def _one(session: Session, wanted: PlannedDeployment, state: DeploymentState, done: Review) -> None:
    """Judge one deployment. What goes wrong in doing so is no verdict."""
    serving, name = state.serving, wanted.name
    if serving is None:
        done.found.append(
            DeploymentReview(
                name=name,
                version=wanted.generation.version,
                generation=wanted.generation.fingerprint,
                verdict="Unverified",
                before="Unverified",
            )
        )
        session.report(f"verify {session.environment}/{name}: nothing serves")
        return
    try:
        _require_running(session, serving)
        done.found.append(_judge(session, wanted, state, serving))
    except LockLost:
        raise
    except GitopsError as error:
        done.errors[name] = error


def _require_running(session: Session, serving: Generation) -> None:
    mine = [c for c in session.containers(serving.deployment) if c.generation == serving.fingerprint]
    if not any(c.state == "running" for c in mine):
        raise EngineFailed(
            f"no replica of {serving.deployment} {serving.version} runs",
            why="that says nothing of its model, so it is not judged",
            fix=f"gitops-ml sync {session.environment}",
        )


def _judge(
    session: Session, wanted: PlannedDeployment, state: DeploymentState, serving: Generation
) -> DeploymentReview:
    declaration, holdout = wanted.resolved.declaration, wanted.resolved.holdout
    spec: Checks = declaration.verify
    key = quarantine_key(serving, declaration, holdout)
    started = session.now()

    def attempt(found: tuple[CheckResult, ...], logs: str) -> Attempt:
        return review_attempt(state, serving, key=key, checks=found, logs=logs, started=started, now=session.now())

    pending = attempt((), "")
    evidence = checks.verify(
        session,
        plan.Verify(
            deployment=wanted.name,
            generation=serving,
            attempt=pending,
            checks=spec,
            holdout=holdout,
            commit=wanted.generation.commit,
            review=True,
            endpoint="" if candidate_has_users(state) else wanted.endpoint,
            because="a person asked, or a schedule",
        ),
    )
    for check in evidence.checks:
        session.report(f"{check.name} {check.word} {session.environment}/{wanted.name}: {check.reason}")
    found = tuple(evidence.checks)
    verdict, before = overall(found), newest_verdict(state, serving)
    if verdict != before:
        settled = attempt(found, evidence.logs)
        session.write(Reviewed(at=settled.settled or session.at(), attempt=settled))
    declared = wanted.generation
    instead = None if declared.fingerprint == serving.fingerprint else declared.version
    back = pending.incumbent if verdict == "Failed" and not instead else None
    return DeploymentReview(
        name=wanted.name,
        version=serving.version,
        generation=serving.fingerprint,
        verdict=verdict,
        before=before,
        checks=found,
        declared_instead=instead,
        goes_back_to=back.version if back else None,
    )
