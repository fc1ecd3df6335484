"""Judging again what serves, without deploying: the same checks, at any time.

A verdict that has changed is written into the journal and into Git, as a rollout's is. After a Failed verdict the
record's commit puts the declaration back where policy says so, and an ordinary sync rolls out what was verified before.
Where the tip declares another generation by now, as during a canary, that generation's own rollout decides, and nothing
is put back.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.checks import run as checks
from gitops_ml.control.events import check_event
from gitops_ml.control.host import Host
from gitops_ml.control.observation.view import View
from gitops_ml.control.reconciler import Reconcilable, holding, record
from gitops_ml.control.sync import SyncResult, sync
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
    """One deployment, judged again.

    `verdict` and `before`, the last verdict, are about what serves, whatever the tip declares. `declared_instead` is
    the version that the tip declares, if that is another generation: its rollout is under way, or has failed.
    `goes_back_to` is the version that was verified before, if what serves has failed and is what the tip declares.
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
    """What judging an environment again came to.

    `errors` are by deployment. `record_error` says why the verdicts are not in Git. `synced`: the sync after a revert.
    """

    environment: str
    commit: str
    engine: str
    reviews: list[DeploymentReview] = field(default_factory=list)
    errors: dict[str, GitopsError] = field(default_factory=dict)
    recorded: str | None = None
    record_error: GitopsError | None = None
    synced: SyncResult | None = None

    def serving(self, name: str) -> str | None:
        """The version of a deployment that serves after the sync that went back; None where there was none."""
        statuses = self.synced.view.plan.statuses if self.synced else ()
        return next((status.version for status in statuses if status.name == name), None)

    @property
    def exit_code(self) -> int:
        """0 Verified · 1 error · 3 Failed · 4 inconclusive, or nothing serves · 5 the record could not be pushed."""
        after = self.synced.exit_code if self.synced else 0
        if self.errors or after == 1:
            return 1
        if self.record_error or after == PushRejected.exit_code:
            return PushRejected.exit_code if isinstance(self.record_error, PushRejected | None) else 1
        verdicts = {review.verdict for review in self.reviews}
        if "Failed" in verdicts:
            return 3
        return 0 if verdicts <= {"Verified"} else 4


def review(environment: Reconcilable, deployment: str | None = None) -> Review:
    """Judge what serves in one environment, or in one deployment of it.

    Raises what `Reconcilable.look` raises, `LockHeld`, and `InputError` for a deployment that is not declared.
    """
    with holding(environment) as (view, host):
        _require_declared(view, deployment)
        result = Review(view.desired.name, view.desired.commit, view.snapshot.engine)
        for name in sorted(view.wanted):
            if deployment in (None, name):
                _review_one(host, view.wanted[name], view.state.of(name), result)
        for name, what in view.plan.broken.items():
            if deployment in (None, name):
                result.errors[name] = InputError(f"{name} is not judged: {what}")
        try:
            result.recorded = record(environment, host, view)
        except LockLost:
            raise
        except Exception as error:
            result.record_error = as_gitops_error(error, f"the record of {environment.environment}")
    if result.recorded and any(r.verdict == "Failed" and r.goes_back_to for r in result.reviews):
        result.synced = sync(environment)
    return result


def _require_declared(view: View, deployment: str | None) -> None:
    if deployment is not None and deployment not in {*view.wanted, *view.plan.broken}:
        name = view.desired.name
        raise InputError(
            f"{name} declares no {deployment}",
            why=f"declared are {', '.join(sorted(view.wanted)) or 'none'}",
            fix=f"gitops-ml status {name}",
        )


def _review_one(host: Host, wanted: PlannedDeployment, state: DeploymentState, result: Review) -> None:
    """Judge one deployment. An error on the way is no verdict."""
    serving, name = state.serving, wanted.name
    if serving is None:
        result.reviews.append(
            DeploymentReview(
                name=name,
                version=wanted.generation.version,
                generation=wanted.generation.fingerprint,
                verdict="Unverified",
                before="Unverified",
            )
        )
        host.report(f"verify {host.environment}/{name}: nothing serves")
        return
    try:
        _require_running(host, serving)
        result.reviews.append(_judge(host, wanted, state, serving))
    except LockLost:
        raise
    except Exception as error:
        result.errors[name] = as_gitops_error(error, f"{host.environment}/{name}")


def _require_running(host: Host, serving: Generation) -> None:
    mine = [c for c in host.containers(serving.deployment) if c.generation == serving.fingerprint]
    if not any(c.state == "running" for c in mine):
        raise EngineFailed(
            f"no replica of {serving.deployment} {serving.version} runs",
            why="that says nothing of its model, so it is not judged",
            fix=f"gitops-ml sync {host.environment}",
        )


def _judge(host: Host, wanted: PlannedDeployment, state: DeploymentState, serving: Generation) -> DeploymentReview:
    declaration, holdout = wanted.resolved.declaration, wanted.resolved.holdout
    spec: Checks = declaration.verify
    key = quarantine_key(serving, declaration, holdout)
    started = host.now()

    def attempt(results: tuple[CheckResult, ...], logs: str) -> Attempt:
        return review_attempt(state, serving, key=key, checks=results, logs=logs, started=started, now=host.now())

    pending = attempt((), "")
    report = checks.verify(
        host,
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
    for check in report.checks:
        host.report(check_event(host.environment, wanted.name, check))
    results = tuple(report.checks)
    verdict, before = overall(results), newest_verdict(state, serving)
    if verdict != before:
        settled = attempt(results, report.logs)
        host.write(Reviewed(at=settled.settled or host.now().isoformat(), attempt=settled))
    declared = wanted.generation
    instead = None if declared.fingerprint == serving.fingerprint else declared.version
    back = pending.incumbent if verdict == "Failed" and not instead else None
    return DeploymentReview(
        name=wanted.name,
        version=serving.version,
        generation=serving.fingerprint,
        verdict=verdict,
        before=before,
        checks=results,
        declared_instead=instead,
        goes_back_to=back.version if back else None,
    )
