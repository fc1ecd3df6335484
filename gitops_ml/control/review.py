"""Judges the serving generations again, without a rollout.

The checks run without the environment's lock, so that a long check blocks no rollout. The lock is taken to write a
verdict that has changed, if the generation that was judged still serves. Record and revert are those of a rollout:
after a Failed verdict the record's commit puts the declaration back if policy says so, and a sync rolls out the version
that was verified before. If the tip declares another generation, as during a canary, nothing is put back: the rollout
of that generation decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.environment.view import Options, View
from gitops_ml.control.events import check_event
from gitops_ml.control.judgement import Judgement, judge, running_replicas
from gitops_ml.control.reconciler import Reconcilable, lock_held, record
from gitops_ml.control.session import ReadOnlySession
from gitops_ml.control.sync import SyncResult, sync
from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.fold import Reviewed
from gitops_ml.core.journal.reviews import newest_verdict
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.verification.verdict import CheckResult, Verdict
from gitops_ml.errors import EngineFailed, GitopsError, InputError, PushRejected

VERDICT_WAIT = 600.0
"""Seconds that a changed verdict waits for passes that hold the lock."""
_MOST_JUDGEMENTS = 2
"""How often a deployment is judged if other passes change it meanwhile."""


class DeploymentReview(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment, judged again.

    `verdict` and `before`, the last verdict, are about the serving generation, whatever the tip declares.
    `declared_instead`: the version that the tip declares, if that is another generation; its rollout is under way, or
    has failed. `goes_back_to`: the version that was verified before, if the serving generation has failed and is the
    declared one, or if that version is declared again already.
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
    """The result of judging an environment again.

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
        """The version of a deployment that serves after the sync that went back; None if there was no such sync."""
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


def review(environment: Reconcilable, deployment: str | None = None, *, follow: bool = True) -> Review:
    """Judge the serving generation of each deployment of an environment, or of one.

    Args:
        follow: sync where a Failed verdict put a declaration back, now or in a run that was killed before it could
            sync; otherwise the caller does.

    Raises what `Reconcilable.look` raises, `EngineFailed` when the environment has no gateway, and `InputError` for a
    deployment that is not declared.
    """
    try:
        result = _review(environment, deployment)
    finally:
        environment.end_pass(engine_lost=False)
    if follow and any(r.goes_back_to and (result.recorded or r.declared_instead) for r in result.reviews):
        result.synced = sync(environment)
    return result


def _review(environment: Reconcilable, deployment: str | None) -> Review:
    view = environment.look(Options())
    _require_declared(view, deployment)
    _require_gateway(view)
    result = Review(view.desired.full_name, view.desired.commit, view.snapshot.engine)
    session = environment.examine(view)
    for name in sorted(view.wanted):
        if deployment in (None, name):
            try:
                result.reviews.append(_review_one(environment, session, view, view.wanted[name]))
            except Exception as error:
                result.errors[name] = as_gitops_error(error, f"{session.environment}/{name}")
    for name, what in view.plan.broken.items():
        if deployment in (None, name):
            result.errors[name] = InputError(f"{name} is not judged: {what}")
    unrecorded = view.state.unrecorded or view.state.unreverted or view.engine_changed
    if unrecorded or any(reviewed.changed for reviewed in result.reviews):
        try:
            with lock_held(environment, view, VERDICT_WAIT) as (locked_view, locked_session):
                result.recorded = record(environment, locked_session, locked_view)
        except Exception as error:
            result.record_error = as_gitops_error(error, f"the record of {environment.environment}")
    return result


def _require_declared(view: View, deployment: str | None) -> None:
    if deployment is not None and deployment not in {*view.wanted, *view.plan.broken}:
        name = view.desired.full_name
        raise InputError(
            f"{name} declares no {deployment}",
            why=f"declared are {', '.join(sorted(view.wanted)) or 'none'}",
            fix=f"gitops-ml status {name}",
        )


def _require_gateway(view: View) -> None:
    if view.snapshot.gateway is None:
        name = view.desired.full_name
        raise EngineFailed(f"{name} has no gateway", why="nothing serves there", fix=f"gitops-ml sync {name}")


def _review_one(
    environment: Reconcilable, session: ReadOnlySession, view: View, wanted: PlannedDeployment
) -> DeploymentReview:
    """Judge one deployment; once more if another pass changed it meanwhile. Raises `EngineFailed` without a verdict."""
    for _ in range(_MOST_JUDGEMENTS):
        state = view.state.of(wanted.name)
        if state.serving is None:
            session.report(f"verify {session.environment}/{wanted.name}: nothing serves")
            return _nothing_serves(wanted)
        running = running_replicas(session, state.serving)
        if running:
            judgement = judge(session, wanted, state, state.serving, running)
            reviewed = _conclude(environment, session, view, wanted, judgement)
            if reviewed:
                return reviewed
        error = _changed_meanwhile(wanted) if running else _none_runs(wanted, state.serving)
        view = environment.look_again(view.source, Options(), locked=False)
    raise error


def _changed_meanwhile(wanted: PlannedDeployment) -> EngineFailed:
    return EngineFailed(
        f"{wanted.full_name}/{wanted.name} is not judged",
        why="other passes changed what its users reach while the checks ran",
        fix=f"gitops-ml verify {wanted.full_name} {wanted.name}",
    )


def _none_runs(wanted: PlannedDeployment, serving: Generation) -> EngineFailed:
    return EngineFailed(
        f"no replica of {wanted.name} {serving.version} runs",
        why="that says nothing of its model, so it is not judged",
        fix=f"gitops-ml sync {wanted.full_name}",
    )


def _nothing_serves(wanted: PlannedDeployment) -> DeploymentReview:
    return DeploymentReview(
        name=wanted.name,
        version=wanted.generation.version,
        generation=wanted.generation.fingerprint,
        verdict="Unverified",
        before="Unverified",
    )


def _conclude(
    environment: Reconcilable, session: ReadOnlySession, view: View, wanted: PlannedDeployment, judgement: Judgement
) -> DeploymentReview | None:
    """Write the verdict if it is another one than before. None if another pass changed the deployment meanwhile."""
    state = view.state.of(wanted.name)
    before = newest_verdict(state, judgement.serving)
    if judgement.verdict == before:
        if not judgement.still_holds(state, state, session.containers(wanted.name)):
            return None
    else:
        with lock_held(environment, view, VERDICT_WAIT) as (locked_view, locked_session):
            now = locked_view.state.of(wanted.name)
            if not judgement.still_holds(state, now, locked_session.containers(wanted.name)):
                return None
            state, before = now, newest_verdict(now, judgement.serving)
            if judgement.verdict != before:
                attempt = judgement.attempt(state, locked_session.now())
                locked_session.write(Reviewed(at=attempt.settled or attempt.started, attempt=attempt))
    for check in judgement.checks:
        session.report(check_event(session.environment, wanted.name, check))
    declared = wanted.generation
    instead = None if declared.fingerprint == judgement.serving.fingerprint else declared.version
    back = judgement.attempt(state, session.now()).incumbent if judgement.verdict == "Failed" else None
    if instead and back and back.fingerprint != declared.fingerprint:
        back = None
    return DeploymentReview(
        name=wanted.name,
        version=judgement.serving.version,
        generation=judgement.serving.fingerprint,
        verdict=judgement.verdict,
        before=before,
        checks=judgement.checks,
        declared_instead=instead,
        goes_back_to=back.version if back else None,
    )
