"""`sync`: passes for one environment, until nothing is left to do or nothing more can be done.

Each deployment has a back-off of its own, so that the trouble of one, or of the record's push, never ends the watching
of another one's canary.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gitops_ml.control.backoff import ENVIRONMENT, Backoff, deployment_of
from gitops_ml.control.reconciler import (
    LET_OTHERS,
    PassOutcome,
    Reconcilable,
    reconcile,
    retry_while_locked,
)
from gitops_ml.control.view import Options, View
from gitops_ml.core.planning import plan
from gitops_ml.errors import GitopsError, LockHeld, PushRejected, SourceError, SourceUnavailable, Temporary

MOST_PASSES = 50
FETCH = "(fetch)"
"""The name under which the back-off keeps the failures of fetching."""


@dataclass
class SyncResult:
    """What a `sync` came to.

    Args:
        view: the last look.
        settled: the outcomes of rollouts that ended, by deployment.
        errors: what is wrong in the end, by deployment; the empty name for the environment itself.
        commit: the last commit that recorded verdicts.
        record_error: why verdicts are not in Git yet.
    """

    view: View
    passes: int = 0
    settled: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, GitopsError] = field(default_factory=dict)
    commit: str | None = None
    record_error: GitopsError | None = None

    @property
    def exit_code(self) -> int:
        """0 done · 1 error · 3 verification failed · 4 inconclusive or held · 5 the record could not be pushed."""
        if self.errors or self.view.plan.broken or self.view.plan.refused:
            return 1
        if self.record_error:
            return PushRejected.exit_code if isinstance(self.record_error, PushRejected) else 1
        outcomes = {outcome for outcomes in self.settled.values() for outcome in outcomes}
        waiting = [s for s in self.view.plan.statuses if s.sync == "OutOfSync"]
        if "failed" in outcomes or any(s.verification == "Failed" for s in waiting):
            return 3
        if "inconclusive" in outcomes or waiting:
            return 4
        return 0


def sync(environment: Reconcilable, options: Options | None = None) -> SyncResult:
    """Repeat passes until nothing is left to do, or nothing more can be done.

    Trouble that may pass is tried again, by each deployment's back-off; what needs a person is reported and left.

    Raises:
        Temporary: the environment cannot be looked at, not even once in several tries.
        LockHeld: another pass holds the environment for long.
        SourceError: the environment does not settle.
    """
    options = options or Options()
    backoff = Backoff(clock=environment.monotonic)
    settled: dict[str, list[str]] = {}
    committed: str | None = None
    last: PassOutcome | None = None
    passes = 0
    while passes < MOST_PASSES:
        try:
            last = _pass(environment, options, backoff, last)
        except LockHeld:
            raise
        except Temporary as error:
            backoff.failed(ENVIRONMENT, error)
            if not backoff.gave_up(ENVIRONMENT):
                _wait_to_retry(environment, backoff.wait(ENVIRONMENT), error)
                continue
            if last is None:
                raise
            return SyncResult(last.view, passes, settled, _errors(last, backoff), committed, last.record_error)
        # A pass that only watches users' requests is no sign of passes that undo each other.
        passes += not last.execution.watching
        options = options.after_first_pass()
        committed = last.commit or committed
        for name, outcomes in last.execution.settled.items():
            settled.setdefault(name, []).extend(outcomes)
        unfinished = _unfinished(last, backoff)
        if not unfinished and not last.commit:
            return SyncResult(last.view, passes, settled, _errors(last, backoff), committed, last.record_error)
        environment.sleep(_pause(last, unfinished, backoff))
    raise SourceError(
        f"{environment.environment} did not settle in {MOST_PASSES} passes",
        why="what is declared and what runs keep differing",
        fix=f"gitops-ml plan {environment.environment}",
    )


def _pass(environment: Reconcilable, options: Options, backoff: Backoff, last: PassOutcome | None) -> PassOutcome:
    """Perform one pass. While a canary is open and the remote does not answer, the last fetched commit is kept to."""
    watched = last.view.source.commit if last and _watches(last.view) else None
    if watched and backoff.wait(FETCH) > 0:
        return retry_while_locked(environment, lambda: reconcile(environment, options, backoff, watched))
    try:
        result = retry_while_locked(environment, lambda: reconcile(environment, options, backoff))
    except SourceUnavailable as error:
        if watched is None:
            raise
        backoff.failed(FETCH, error)
        environment.report(f"go on with {environment.environment} at {watched[:12]}: {error.what}")
        return retry_while_locked(environment, lambda: reconcile(environment, options, backoff, watched))
    backoff.succeeded(FETCH)
    if ENVIRONMENT not in result.execution.errors:
        backoff.succeeded(ENVIRONMENT)
    return result


def _watches(view: View) -> bool:
    return any(isinstance(action, plan.Watch) for action in view.plan.actions)


def _wait_to_retry(environment: Reconcilable, seconds: float, error: Temporary) -> None:
    environment.report(f"retry {environment.environment} in {seconds:g} s: {error.what}")
    environment.sleep(seconds)


def _unfinished(result: PassOutcome, backoff: Backoff) -> set[str]:
    """Whatever had something to do in this pass and may get further in another one."""
    pending = {ENVIRONMENT} if result.execution.blocked else result.pending
    names = pending | (backoff.errors.keys() & {FETCH})
    return {name for name in names if name in result.execution.settled or not backoff.gave_up(name)}


def _pause(result: PassOutcome, unfinished: set[str], backoff: Backoff) -> float:
    """Seconds to wait before the next pass."""
    if result.execution.watching:
        return LET_OTHERS
    return min((backoff.wait(name) for name in unfinished), default=0.0)


def _errors(result: PassOutcome, backoff: Backoff) -> dict[str, GitopsError]:
    """What is wrong in the end. The failures of a deployment with nothing left to do are over."""
    errors: dict[str, GitopsError] = {}
    for name, error in sorted(backoff.errors.items()):
        if name in result.pending | {ENVIRONMENT}:
            errors.setdefault(deployment_of(name), error)
    if FETCH in backoff.errors:
        errors.setdefault(ENVIRONMENT, backoff.errors[FETCH])
    return errors
