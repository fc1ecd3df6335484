"""One pass for one environment. `sync` and the agent repeat passes.

A pass reads as it happens: look; and where there is something to do, take the lock and look again, execute, record. A
pass with nothing to do takes no lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from gitops_ml.clients.files.recording import Recording
from gitops_ml.control.backoff import ENVIRONMENT, JOURNAL, RECORD, Backoff, name_of
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.environment.view import Options, Source, View
from gitops_ml.control.events import Event
from gitops_ml.control.execution.error_entries import error_entries
from gitops_ml.control.execution.executor import ExecutionResult, execute
from gitops_ml.control.session import ReadOnlySession, Session
from gitops_ml.core.journal.entries import Applied, Recorded, Retried
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.planning import plan
from gitops_ml.errors import EngineUnavailable, GitopsError, InputError, LockHeld, LockLost, SourceError

LET_OTHERS = 0.3
"""Seconds between two passes that watch, so that a pass of another process can come in between."""
LOCK_WAIT = 10.0
"""Seconds that a command waits for another pass that holds the lock."""

Taken = TypeVar("Taken")
_log = logging.getLogger("gitops_ml")


class Reconcilable(Protocol):
    """One environment that can be reconciled. `Target` is one on an engine; the unit tests have one in memory."""

    @property
    def environment(self) -> str: ...

    @property
    def report(self) -> Callable[[str], None]: ...

    def look(self, options: Options, commit: str | None = None) -> View:
        """Fetch, read, observe and plan, without the lock. With `commit`, fetch nothing and look at that commit."""
        ...

    def look_back(self, options: Options, error: GitopsError) -> View:
        """Look at the commit that was applied last, since `error` forbids to follow the tip.

        The plan begins no rollout, and the view's source holds the error. Raises `error` when nothing was applied.
        """
        ...

    def look_again(self, source: Source, options: Options, *, locked: bool) -> View:
        """Observe and plan anew. `locked`: this pass holds the lock and runs no probe."""
        ...

    def examine(self, view: View) -> ReadOnlySession:
        """Open a session for questions to what serves, without the lock."""
        ...

    def open(
        self, view: View, options: Options, actions: Sequence[plan.Action]
    ) -> AbstractContextManager[tuple[View, Session]]:
        """Take the lock, begin the images that `actions` need, and look again. Raises `LockHeld`."""
        ...

    def watch_tip(self, view: View, session: Session) -> AbstractContextManager[Callable[[], Source]]:
        """Supersede rollouts that a newer commit no longer wants; the callable gives the newest source."""
        ...

    def record_verdicts(self, view: View, state: EnvironmentState) -> Recording:
        """Write the records that Git does not hold."""
        ...

    def break_lock(self, view: View, lock: str) -> None:
        """Break the lock with this ID. Raises `InputError`."""
        ...

    def clear_dead_lock(self, view: View) -> bool:
        """Remove the lock of a process that was killed, and say whether there was one."""
        ...

    def end_pass(self, *, engine_lost: bool) -> None:
        """Close what the pass has opened."""
        ...

    def monotonic(self) -> float:
        """The present in seconds, from any origin."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait between passes."""
        ...


@dataclass
class PassOutcome:
    """What one pass came to.

    Args:
        view: the last look of the pass: what its plan names was acted on.
        execution: errors and outcomes, by deployment.
        commit: the commit that records the verdicts; None when there was nothing to record.
        record_error: why the verdicts could not be recorded; the journal keeps them.
    """

    view: View
    execution: ExecutionResult = field(default_factory=ExecutionResult)
    commit: str | None = None
    record_error: GitopsError | None = None

    @property
    def pending(self) -> set[str]:
        """What the plan had something to do for, by the names of the back-off."""
        return {name_of(action) for action in self.view.plan.actions if not isinstance(action, plan.WriteRecords)}


def reconcile(
    environment: Reconcilable,
    options: Options | None = None,
    backoff: Backoff | None = None,
    commit: str | None = None,
    on_look: Callable[[View], None] = lambda view: None,
) -> PassOutcome:
    """Perform one pass.

    Args:
        backoff: what failed in earlier passes: deployments that are not due are left alone. This pass's failures and
            successes are noted in it.
        commit: reconcile at this commit, and fetch nothing first.
        on_look: called with the pass's first look, and with each that follows while deployments are worked on.

    Raises what `Reconcilable.look` raises, `LockHeld` when another pass holds the environment, and `LockLost`.
    """
    lost = False
    try:
        options = options or Options()
        view = _look(environment, options, commit)
        on_look(view)
        result = _reconcile(environment, view, options, backoff or Backoff(), on_look)
        lost = any(isinstance(error, EngineUnavailable) for error in result.execution.errors.values())
        return result
    except EngineUnavailable:
        lost = True
        raise
    finally:
        environment.end_pass(engine_lost=lost)


def _look(environment: Reconcilable, options: Options, commit: str | None) -> View:
    """Look at the tip; at the commit applied last where the tip cannot be followed."""
    try:
        return environment.look(options, commit)
    except (InputError, SourceError) as error:
        return environment.look_back(options, error)


def _reconcile(
    environment: Reconcilable, view: View, options: Options, backoff: Backoff, on_look: Callable[[View], None]
) -> PassOutcome:
    if options.break_lock:
        environment.break_lock(view, options.break_lock)
    due = backoff.due(view.plan.actions)
    unwritten = JOURNAL in backoff.errors and backoff.wait(JOURNAL) == 0
    if not due and not options.retry and not options.rebuild_journal and not view.engine_changed and not unwritten:
        if environment.clear_dead_lock(view):  # what its holder left behind looked like that of a pass that works
            again = environment.look_again(view.source, options, locked=False)
            return _reconcile(environment, again, options, backoff, on_look)
        unrecorded = any(isinstance(action, plan.WriteRecords) for action in view.plan.actions)
        return PassOutcome(view, record_error=backoff.errors.get(RECORD) if unrecorded else None)
    with environment.open(view, options, due) as (view, session):
        if options.retry:
            view = _lift_quarantine(environment, session, view, options)
        result = _execute(environment, session, view, options, backoff, on_look)
        _conclude(environment, session, result, backoff)
        return result


@contextmanager
def lock_held(environment: Reconcilable, view: View, patience: float) -> Iterator[tuple[View, Session]]:
    """Hold an environment's lock, with a view that was observed under it.

    Raises `LockHeld` when other passes hold the lock for more than `patience` seconds, and as `Reconcilable.open`.
    """
    with ExitStack() as stack:

        def open_environment() -> tuple[View, Session]:
            return stack.enter_context(environment.open(view, Options(), ()))

        yield retry_while_locked(environment, open_environment, patience)


def retry_while_locked(environment: Reconcilable, take: Callable[[], Taken], patience: float = LOCK_WAIT) -> Taken:
    """Try `take` again until the pass that holds the lock has ended. Raises `LockHeld` after `patience` seconds."""
    deadline = environment.monotonic() + patience
    while True:
        try:
            return take()
        except LockHeld:
            if environment.monotonic() > deadline:
                raise
            environment.sleep(LET_OTHERS / 2)


# --- what a pass is made of ------------------------------------------------------------------------------------------


def _lift_quarantine(environment: Reconcilable, session: Session, view: View, options: Options) -> View:
    """Lift the quarantine of what is declared, and look again."""
    for name in sorted(view.wanted):
        if view.state.of(name).quarantine:
            session.write(Retried(at=session.now().isoformat(), deployment=name))
    return environment.look_again(view.source, options, locked=True)


def _execute(
    environment: Reconcilable,
    session: Session,
    view: View,
    options: Options,
    backoff: Backoff,
    on_look: Callable[[View], None],
) -> PassOutcome:
    """Execute the plan, with new looks as the executor asks for them."""
    for refusal in view.removal_refusals.values():
        session.report(str(refusal))
    result = PassOutcome(view)
    with environment.watch_tip(view, session) as newest_source:

        def look_again() -> plan.Plan | None:
            try:
                result.view = environment.look_again(newest_source(), options, locked=False)
            except Exception as error:
                _log.warning("%s could not be observed again", environment.environment, exc_info=error)
                return None
            on_look(result.view)
            return result.view.plan

        result.execution = execute(view.plan, session, backoff, look_again)
    return result


def _conclude(environment: Reconcilable, session: Session, result: PassOutcome, backoff: Backoff) -> None:
    """Write what the pass has applied, and record its verdicts. Errors are kept in the result."""
    commit = result.view.source.commit
    try:
        session.note(*error_entries(session, result.execution, {status.name for status in result.view.plan.statuses}))
        session.flush()
        follows = session.state.applied == commit or result.view.source.as_served
        if (result.execution.acted or JOURNAL in backoff.errors) and not follows:
            session.write(Applied(at=session.now().isoformat(), commit=commit))
        backoff.succeeded(JOURNAL)
    except LockLost:
        raise
    except Exception as error:
        result.execution.errors[ENVIRONMENT] = as_gitops_error(error, environment.environment)
        backoff.failed(JOURNAL, result.execution.errors[ENVIRONMENT])
    if backoff.wait(RECORD) > 0:
        result.record_error = backoff.errors.get(RECORD)
        return
    try:
        result.commit = record(environment, session, result.view)
        backoff.succeeded(RECORD)
    except LockLost:
        raise
    except Exception as error:
        result.record_error = as_gitops_error(error, f"the record of {environment.environment}")
        backoff.failed(RECORD, result.record_error)


def record(environment: Reconcilable, session: Session, view: View) -> str | None:
    """Record what the journal holds and Git does not; the commit, or None.

    Raises `PushRejected`: what was refused stays in the journal, records and reverts each by themselves.
    """
    refused_before = tuple(attempt.id for attempt in session.state.unreverted)
    if view.source.as_served or not (session.state.unrecorded or refused_before or view.engine_changed):
        return None
    recorded = environment.record_verdicts(view, session.state)
    if recorded.commit:
        ids, commit = recorded.attempts, recorded.commit
        if ids or recorded.unreverted != refused_before:
            at = session.now().isoformat()
            session.write(Recorded(at=at, attempts=ids, commit=commit, unreverted=recorded.unreverted))
        if ids or view.engine_changed:
            holds = ", ".join(ids) or "the engine"
            line = f"record {environment.environment} {commit[:12]} holds {holds}"
            session.report(Event(line, "record", environment=environment.environment, commit=commit, attempts=ids))
    if recorded.refused:
        raise recorded.refused[0]
    return recorded.commit
