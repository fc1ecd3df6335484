"""`sync`: passes for one environment, until nothing is left to do or nothing more can be done.

Each deployment has a back-off of its own, so that the trouble of one, or of the record's push, never ends the watching
of another one's canary.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from gitops_ml.control.backoff import ENVIRONMENT, JOURNAL, RECORD, Backoff, deployment_of
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.environment.view import Options, View
from gitops_ml.control.reconciler import (
    LET_OTHERS,
    PassOutcome,
    Reconcilable,
    reconcile,
    retry_while_locked,
)
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.planning import plan
from gitops_ml.errors import GitopsError, LockHeld, LockLost, PushRejected, SourceError, SourceUnavailable, Temporary

MOST_PASSES = 50
LONGEST_PATIENCE = 600.0
"""Seconds at most for which an open canary is not left alone, although the environment cannot be looked at."""
WATCH_RETRY = 5.0
"""Seconds at most between two tries to look at an open canary again."""
WATCH_FETCH = 5.0
"""Seconds that a fetch may take while a canary is open: a remote that hangs must not leave the canary unwatched."""
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


def sync(
    environment: Reconcilable, options: Options | None = None, on_look: Callable[[View], None] = lambda view: None
) -> SyncResult:
    """Repeat passes until nothing is left to do, or nothing more can be done.

    Trouble that may pass is tried again, by each deployment's back-off; what needs a person is reported and left.

    Args:
        on_look: called with the first look of each pass, and with the last look of all.

    Raises:
        Temporary: the environment cannot be looked at, not even once in several tries.
        LockHeld: another pass holds the environment for long.
        SourceError: the environment does not settle.
    """
    options = options or Options()
    backoff = Backoff(clock=environment.monotonic)
    outcomes = _Outcomes()
    committed: str | None = None
    last: PassOutcome | None = None
    passes, looked_at = 0, environment.monotonic()

    def note(view: View) -> None:
        outcomes.note_first(view)
        on_look(view)

    while passes < MOST_PASSES:
        try:
            last = _pass(environment, options, backoff, last, note)
        except LockHeld:
            raise
        except Exception as raised:
            error = as_gitops_error(raised, environment.environment)
            if not isinstance(error, Temporary):
                raise
            backoff.failed(ENVIRONMENT, error)
            # Whoever took the lock looks after the canary.
            patience = 0.0 if isinstance(error, LockLost) else _patience(last)
            if not backoff.gave_up(ENVIRONMENT) or environment.monotonic() < looked_at + patience:
                wait = backoff.wait(ENVIRONMENT)
                _wait_to_retry(environment, min(wait, WATCH_RETRY) if patience else wait, error)
                continue
            if last is None:
                raise error from raised
            return _result(last, passes, outcomes, committed, backoff)
        looked_at = environment.monotonic()
        # A pass that only watches users' requests is no sign of passes that undo each other.
        passes += not last.execution.watching
        options = options.after_first_pass()
        committed = last.commit or committed
        outcomes.add(last)
        unfinished = _unfinished(last, backoff)
        if not unfinished and not last.commit:
            on_look(last.view)
            return _result(last, passes, outcomes, committed, backoff)
        environment.sleep(_pause(last, unfinished, backoff))
    raise SourceError(
        f"{environment.environment} did not settle in {MOST_PASSES} passes",
        why="what is declared and what runs keep differing",
        fix=f"gitops-ml plan {environment.environment}",
    )


class _Outcomes:
    """The outcomes of the rollouts that ended since the first look, also in passes that ended by an exception."""

    def __init__(self) -> None:
        self._before: frozenset[str] | None = None
        self.settled: dict[str, list[str]] = {}

    def note_first(self, view: View) -> None:
        """Note which rollouts had ended at the first look."""
        if self._before is None:
            self._before = frozenset(a.id for state in view.state.deployments.values() for a in state.attempts)

    def add(self, result: PassOutcome) -> None:
        """Add what a pass has settled, and what its journal holds of earlier ones."""
        for name, outcomes in result.execution.settled.items():
            self.settled.setdefault(name, []).extend(outcomes)
        for name, state in result.view.state.deployments.items():
            ended = [a.outcome for a in state.attempts if a.outcome and a.id not in (self._before or ())]
            if len(ended) > len(self.settled.get(name, [])):
                self.settled[name] = list(ended)


def _pass(
    environment: Reconcilable,
    options: Options,
    backoff: Backoff,
    last: PassOutcome | None,
    on_look: Callable[[View], None],
) -> PassOutcome:
    """Perform one pass. While a canary is open and the remote does not answer, the last fetched commit is kept to."""

    def reconcile_at(commit: str | None = None) -> PassOutcome:
        return retry_while_locked(environment, lambda: reconcile(environment, options, backoff, commit, on_look))

    watched = last.view.source.commit if last and _watched(last.view) else None
    if watched:
        options = replace(options, fetch_seconds=WATCH_FETCH)
    if watched and backoff.wait(FETCH) > 0:
        return reconcile_at(watched)
    try:
        result = reconcile_at()
    except SourceUnavailable as error:
        if watched is None:
            raise
        backoff.failed(FETCH, error)
        environment.report(f"go on with {environment.environment} at {watched[:12]}: {error.what}")
        return reconcile_at(watched)
    backoff.succeeded(FETCH)
    tip_error = result.view.source.tip_error
    if tip_error and not (last and last.view.source.tip_error):
        commit = result.view.source.commit[:12]
        environment.report(f"go on with {environment.environment} at {commit}: {tip_error.what}")
    if ENVIRONMENT not in result.execution.errors:
        backoff.succeeded(ENVIRONMENT)
    return result


def _watched(view: View) -> list[plan.Watch]:
    return [action for action in view.plan.actions if isinstance(action, plan.Watch)]


def _patience(last: PassOutcome | None) -> float:
    """Seconds for which an environment that cannot be looked at is tried again; 0 where the back-off decides.

    The candidate of an open canary has users: nothing else takes it from them.
    """
    timeouts = [seconds(watch.traffic.timeout) for watch in _watched(last.view)] if last else []
    return min(LONGEST_PATIENCE, max(timeouts, default=0.0))


def _wait_to_retry(environment: Reconcilable, pause: float, error: Temporary) -> None:
    environment.report(f"retry {environment.environment} in {pause:g} s: {error.what}")
    environment.sleep(pause)


def _unfinished(result: PassOutcome, backoff: Backoff) -> set[str]:
    """Whatever had something to do in this pass and may get further in another one."""
    pending = {ENVIRONMENT} if result.execution.blocked else result.pending
    names = pending | (backoff.errors.keys() & {FETCH, JOURNAL})
    if result.view.engine_changed or any(isinstance(action, plan.WriteRecords) for action in result.view.plan.actions):
        names |= backoff.errors.keys() & {RECORD}
    return {name for name in names if name in result.execution.settled or not backoff.gave_up(name)}


def _pause(result: PassOutcome, unfinished: set[str], backoff: Backoff) -> float:
    """Seconds to wait before the next pass."""
    if result.execution.watching:
        return LET_OTHERS
    return min((backoff.wait(name) for name in unfinished), default=0.0)


def _result(last: PassOutcome, passes: int, outcomes: _Outcomes, committed: str | None, backoff: Backoff) -> SyncResult:
    """What all passes came to. The failures of a deployment with nothing left to do are over."""
    errors: dict[str, GitopsError] = {}
    for name, error in sorted(backoff.errors.items()):
        if name in last.pending | {ENVIRONMENT}:
            errors.setdefault(deployment_of(name), error)
    for name in (FETCH, JOURNAL):
        if name in backoff.errors:
            errors.setdefault(ENVIRONMENT, backoff.errors[name])
    if last.view.source.tip_error:
        errors.setdefault(ENVIRONMENT, last.view.source.tip_error)
    record_error = last.record_error or backoff.errors.get(RECORD)
    return SyncResult(last.view, passes, outcomes.settled, errors, committed, record_error)
