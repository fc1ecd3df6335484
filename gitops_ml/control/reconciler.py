"""One pass for one environment, and the loop that repeats passes until all is settled.

A pass reads as it happens: fetch the source, read what is desired, observe, plan; and where there is something to do,
lock, observe and plan again, confirm, execute, record, unlock. A pass with nothing to do takes no lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from gitops_ml.clients.artifacts.source import ModelSource
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.lock import Lock, break_lock, clear_dead
from gitops_ml.clients.engine.model_images import BASE_IMAGE, Builds, ensure_base
from gitops_ml.clients.files import publication
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.control.executor import ExecutionResult, execute
from gitops_ml.control.observe import Options, Target, View, engine_of, generation_at, look
from gitops_ml.control.preemption import TipWatch
from gitops_ml.control.session import Session
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.journal.entries import Applied, Published, Retried
from gitops_ml.core.journal.state import Attempt
from gitops_ml.core.planning import plan
from gitops_ml.errors import (
    EngineFailed,
    GitopsError,
    InputError,
    LockHeld,
    PushRejected,
    RemovalRefused,
    SourceError,
    Stalled,
    Temporary,
)

BACKOFF = (1.0, 2.0, 4.0)
MOST_PASSES = 50
ROUNDS = 3
COMPACT_AT = 60
"""Entries of the journal above which a pass that holds the lock sums them up."""
LET_OTHERS = 0.3
"""Seconds between two passes that watch, so that a pass of another process can come in between."""
LOCK_WAIT = 10.0

Taken = TypeVar("Taken")


@dataclass
class Result:
    """What a `sync` came to. `errors` by deployment, empty name for the environment itself."""

    view: View
    passes: int = 0
    settled: dict[str, list[str]] = field(default_factory=dict)
    errors: dict[str, GitopsError] = field(default_factory=dict)
    commit: str | None = None

    @property
    def exit_code(self) -> int:
        """0 done · 1 error · 3 verification failed · 4 inconclusive or held · 5 the record could not be pushed."""
        if any(isinstance(e, PushRejected) for e in self.errors.values()):
            return 5
        if self.errors or self.view.plan.broken or self.view.plan.refused:
            return 1
        outcomes = {outcome for found in self.settled.values() for outcome in found}
        waiting = [s for s in self.view.plan.statuses if s.sync == "OutOfSync"]
        if "failed" in outcomes or any(s.verification == "Failed" for s in waiting):
            return 3
        if "inconclusive" in outcomes or waiting:
            return 4
        return 0


def reconcile(target: Target) -> tuple[View, ExecutionResult, str | None]:
    """One pass: what was seen, what came of it, and the commit that recorded it.

    Raises what `look` raises, `LockHeld` when another pass holds the environment, and `PushRejected`.
    """
    try:
        return _reconcile(target)
    finally:
        if target.engine:
            target.engine.close_shells()


def _reconcile(target: Target) -> tuple[View, ExecutionResult, str | None]:
    view = look(target)
    if target.options.break_lock:
        _break_lock(target, view, target.options.break_lock)
    actions = _due(target, view)
    if not actions and not target.options.retry and not _moved(view):
        _clear_dead_lock(target, view)
        return view, ExecutionResult(), None
    engine = engine_of(target, view.desired.environment)
    project, name = view.desired.project, view.desired.name
    models = ModelSource(target.repo)
    builds = Builds(engine, models.artifact, BASE_IMAGE)
    for action in actions:
        if isinstance(action, plan.Build) and action.generation.pattern == "service":
            builds.begin(action.generation)
    _prepare(engine, view)
    with Lock.acquire(engine, project, name, GATEWAY_IMAGE) as held:
        return _locked(target, engine, held, view.desired.commit, models, builds)


@contextmanager
def holding(target: Target) -> Iterator[tuple[View, Session]]:
    """One environment with its lock held, as it is observed under it; nothing is done.

    Raises what `look` raises, `LockHeld` when another pass holds it for long, `EngineFailed` when it has no gateway.
    """
    view = look(target)
    engine = engine_of(target, view.desired.environment)
    _prepare(engine, view)
    project, name = view.desired.project, view.desired.name
    with _in_turn(lambda: Lock.acquire(engine, project, name, GATEWAY_IMAGE)) as held:
        view = look(target, view.desired.commit)
        if view.snapshot.gateway is None:
            raise EngineFailed(f"{name} has no gateway", why="nothing serves there", fix=f"gitops-ml sync {name}")
        models = ModelSource(target.repo)
        yield view, _site(target, engine, view, held, models, Builds(engine, models.artifact, BASE_IMAGE))


def _locked(
    target: Target, engine: Engine, held: Lock, commit: str, models: ModelSource, builds: Builds
) -> tuple[View, ExecutionResult, str | None]:
    """Observe and plan again, and act; a verdict that this pass reaches is acted upon before it lets go."""
    all_done, acted = ExecutionResult(), False
    for _ in range(ROUNDS):
        view = look(target, commit)
        tip = TipWatch(target, view)
        session = _site(target, engine, view, held, models, builds, tip.superseded)
        if len(view.snapshot.journal) > COMPACT_AT and view.snapshot.gateway_runs:
            session.compact(view.snapshot.journal)
        if target.options.retry:
            target.options = _once(target.options)
            view = _retried(target, view, session)
        with tip:
            done = _act(target, view, session)
        acted = acted or any(not isinstance(a, plan.Publish) for a in _due(target, view))
        all_done.errors = done.errors
        all_done.settled |= done.settled
        all_done.watching = done.watching
        if done.errors or not done.judged:
            break
    if acted and view.state.applied != commit:
        session.write(Applied(at=session.at(), commit=commit))
    news = all_done.settled or view.state.unpublished or _moved(view)
    recorded = record(target, view, session) if news and target.publish else None
    return view, all_done, recorded


def sync(target: Target) -> Result:
    """Repeat passes until nothing is left to do, or nothing more can be done.

    Trouble that may pass is tried again with backoff; what needs a person is reported and left.
    """
    settled: dict[str, list[str]] = {}
    committed: str | None = None
    failures = passes = 0
    while passes < MOST_PASSES:
        try:
            view, done, commit = _in_turn(lambda: reconcile(target))
        except (LockHeld, PushRejected):
            raise
        except Temporary as error:
            failures += 1
            if failures > len(BACKOFF):
                raise
            target.report(f"retry {target.environment} in {BACKOFF[failures - 1]:g} s: {error.what}")
            time.sleep(BACKOFF[failures - 1])
            continue
        # A pass that only watches users' requests is no sign of passes that undo each other.
        passes += not done.watching
        target.options = _once(target.options)
        committed = commit or committed
        for name, outcome in done.settled.items():
            settled.setdefault(name, []).append(outcome)
        if not view.plan.actions:
            return Result(view, passes, settled, {}, committed)
        if done.errors:
            stuck = all(isinstance(e, Stalled) for e in done.errors.values())
            failures += 1
            if failures > len(BACKOFF) or (stuck and not done.settled and _only(view, done)):
                return Result(view, passes, settled, dict(done.errors), committed)
            if not stuck:
                time.sleep(BACKOFF[min(failures, len(BACKOFF)) - 1])
        else:
            failures = 0
            if done.watching:
                time.sleep(LET_OTHERS)
    raise SourceError(
        f"{target.environment} did not settle in {MOST_PASSES} passes",
        why="what is declared and what runs keep differing",
        fix=f"gitops-ml plan {target.environment}",
    )


def _in_turn(take: Callable[[], Taken]) -> Taken:
    """What `take` gives, after the end of another pass that holds the environment. Raises `LockHeld` in the end."""
    deadline = time.monotonic() + LOCK_WAIT
    while True:
        try:
            return take()
        except LockHeld:
            if time.monotonic() > deadline:
                raise
            time.sleep(LET_OTHERS / 2)


def _once(options: Options) -> Options:
    """What a person said once holds for one pass."""
    return Options(
        allow_older=options.allow_older,
        confirm_removals=options.confirm_removals,
        rebind=options.rebind,
        rev=options.rev,
    )


def _only(view: View, done: ExecutionResult) -> bool:
    """Whether all that was planned belongs to deployments that a person has to look after."""
    return {a.deployment for a in view.plan.actions if a.deployment} <= done.errors.keys()


# --- what a pass is made of ------------------------------------------------------------------------------------------


def _moved(view: View) -> bool:
    """Whether a record names another engine than this one: a person has said `--rebind`, and Git is to hold it."""
    return any(record.engine != view.snapshot.engine for record in view.records.values())


def _clear_dead_lock(target: Target, view: View) -> None:
    """Take away what a pass that was killed at its very end has left: no later one has a reason to take the lock."""
    if view.snapshot.of_role("lock"):
        clear_dead(engine_of(target, view.desired.environment), view.desired.project, view.desired.name)


def _break_lock(target: Target, view: View, lock_id: str) -> None:
    name = view.desired.name
    if not break_lock(engine_of(target, view.desired.environment), view.desired.project, name, lock_id):
        raise InputError(
            f"{name} has no lock {lock_id}",
            why="it is gone, or another one was taken since",
            fix=f"gitops-ml sync {name}",
        )


def _prepare(engine: Engine, view: View) -> None:
    """Have the base and the gateway's image before the lock is taken: a pull may take minutes."""
    if view.wanted:
        ensure_base(engine, BASE_IMAGE)
    ensure_base(engine, GATEWAY_IMAGE)


def _site(
    target: Target,
    engine: Engine,
    view: View,
    held: Lock,
    models: ModelSource,
    builds: Builds,
    superseded: Callable[[str], bool] = lambda _: False,
) -> Session:
    settings = view.desired.environment.gateway
    return Session(
        engine=engine,
        snapshot=view.snapshot,
        state=view.state,
        lock=held,
        models=models,
        builds=builds,
        base=BASE_IMAGE,
        drain=seconds(settings.drain),
        pin_header=settings.pin_header,
        report=target.report,
        superseded=superseded,
        stop_from_outside=target.stopping,
    )


def _retried(target: Target, view: View, session: Session) -> View:
    """Lift the quarantine of what is declared, and look again."""
    for name in sorted(view.wanted):
        if view.state.of(name).quarantine:
            session.write(Retried(at=session.at(), deployment=name))
    return look(target, view.desired.commit)


def _due(target: Target, view: View) -> list[plan.Action]:
    """The planned actions without those that this pass is told to leave out."""
    return [
        action
        for action in view.plan.actions
        if (target.publish if isinstance(action, plan.Publish) else _may_act(target, action))
    ]


def _may_act(target: Target, action: plan.Action) -> bool:
    return action.healing or action.deployment not in target.resting


def _act(target: Target, view: View, session: Session) -> ExecutionResult:
    if view.plan.refused:
        session.report(str(_refusal(view)))
    acting = [a for a in _due(target, view) if not isinstance(a, plan.Publish)]
    if not acting:
        return ExecutionResult()
    return execute(acting, session)


def _refusal(view: View) -> RemovalRefused:
    names = ", ".join(view.plan.refused)
    return RemovalRefused(
        f"{names} of {view.desired.name} would be removed",
        why=f"policy.max_removals is {view.desired.environment.policy.max_removals}, or it is the last one",
        fix=f"gitops-ml sync {view.desired.name} --confirm-removals",
    )


def record(target: Target, view: View, session: Session) -> str | None:
    """Publish what the journal holds and Git does not. Raises `PushRejected`; the journal keeps it."""
    state = look(target, view.desired.commit).state
    if not state.unpublished and not _moved(view):
        return None
    base = view.snapshot.base_id or ""

    def same_generation(declared: EnvironmentFiles, attempt: Attempt) -> bool:
        try:
            now = generation_at(target.repo, declared, attempt.deployment, base)
        except GitopsError:
            return False
        return now.fingerprint == attempt.generation.fingerprint

    published = publication.publish(
        target.repo, view.desired.name, state, engine=view.snapshot.engine, same_generation=same_generation
    )
    if published.commit:
        ids = published.attempts
        if ids:
            session.write(Published(at=session.at(), attempts=ids, commit=published.commit))
        session.report(f"record {view.desired.name} {published.commit[:12]} holds {', '.join(ids) or 'the engine'}")
    if published.refused:
        raise published.refused[0]
    return published.commit
