"""A host in memory on which the real executor and the real sync loop work, for tests of what any interruption leads to.

It fails the test when users are sent to a generation that was not verified, or lose what they are sent to.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.recording import Recording
from gitops_ml.control.environment.observe import without_beginnings
from gitops_ml.control.environment.view import Options, Source, View
from gitops_ml.control.reconciler import PassOutcome, reconcile
from gitops_ml.control.session import Session
from gitops_ml.control.sync import SyncResult, sync
from gitops_ml.core.declaration.schema import Desired
from gitops_ml.core.journal.entries import Applied
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import GitopsError, PushRejected
from tests.unit.builders import ENVIRONMENT, NAME
from tests.unit.simulated_engine import Engine, Killed, Unsafe
from tests.unit.simulated_session import Behaviour, SimulatedSession
from tests.unit.snapshots import inputs


@dataclass
class SimulatedEnvironment:
    """One environment that can be reconciled, with what its tip declares. `plans` are those of all looks so far.

    `fetch_error` and `push_error` are raised while they are set. While `revert_error` is set, a revert that the tip
    still needs is refused, and the record beside it is taken. `on_look` is called before each look.
    """

    engine: Engine
    behaviour: Behaviour
    declared: tuple[PlannedDeployment, ...] = ()
    broken: Mapping[str, str] = field(default_factory=dict)
    fetch_error: GitopsError | None = None
    push_error: BaseException | None = None
    revert_error: PushRejected | None = None
    on_look: Callable[[], None] = lambda: None
    slept: float = 0.0
    fetch_seconds: list[float] = field(default_factory=list)
    reported: list[str] = field(default_factory=list)
    plans: list[plan.Plan] = field(default_factory=list)
    last: View | None = None
    session_type: type[SimulatedSession] = SimulatedSession
    environment: str = ENVIRONMENT
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def report(self) -> Callable[[str], None]:
        return self.reported.append

    def look(self, options: Options, commit: str | None = None) -> View:
        if commit is None:
            self.fetch_seconds.append(options.fetch_seconds)
            if self.fetch_error:
                raise self.fetch_error
        return self._view()

    def look_back(self, options: Options, error: GitopsError) -> View:
        if not any(isinstance(entry, Applied) for entry in self.engine.entries):
            raise error
        return self._view(error)

    def look_again(self, source: Source, options: Options, *, locked: bool) -> View:
        return self._view(source.tip_error)

    def _view(self, tip_error: GitopsError | None = None) -> View:
        self.on_look()
        snapshot = self.engine.snapshot()
        if self.last and self.last.snapshot == snapshot and self.last.source.tip_error is tip_error:
            return self.last
        made = inputs(snapshot, *self.declared, broken=self.broken, now=self.engine.now())
        source = Source(_files(made.desired), made.desired, {}, tip_error)
        planned = without_beginnings(make_plan(made)) if tip_error else make_plan(made)
        self.last = View(source, made.desired, snapshot, made.state, made.wanted, planned)
        self.plans.append(self.last.plan)
        return self.last

    def examine(self, view: View) -> SimulatedSession:
        return self.session_type(self.engine, self.behaviour, self.report)

    @contextmanager
    def open(self, view: View, options: Options, actions: Sequence[plan.Action]) -> Iterator[tuple[View, Session]]:
        with self.engine.lock():
            session = self.session_type(self.engine, self.behaviour, self.report)
            yield self.look_again(view.source, options, locked=True), session

    @contextmanager
    def watch_tip(self, view: View, session: Session) -> Iterator[Callable[[], Source]]:
        yield lambda: view.source

    def record_verdicts(self, view: View, state: EnvironmentState) -> Recording:
        if self.push_error:
            raise self.push_error
        recorded = tuple(attempt.id for attempt in state.unrecorded)
        if self.revert_error is None:
            return Recording("f" * 40, recorded)
        declared = {wanted.generation.fingerprint for wanted in self.declared}
        asking = [a for a in (*state.unreverted, *state.unrecorded) if a.outcome == "failed"]
        refused = tuple(a.id for a in asking if a.generation.fingerprint in declared)
        return Recording("f" * 40, recorded, (self.revert_error,) if refused else (), refused)

    def break_lock(self, view: View, lock: str) -> None: ...

    def clear_dead_lock(self, view: View) -> bool:
        return False

    def end_pass(self, *, engine_lost: bool) -> None: ...

    def monotonic(self) -> float:
        return self.engine.seconds

    def sleep(self, seconds: float) -> None:
        self.slept += seconds
        self.engine.seconds += seconds


@dataclass
class Host(Engine):
    """One environment on one engine, and the passes over it. `verdicts` and what follows: see `Behaviour`."""

    behaviour: Behaviour = field(default_factory=Behaviour)

    @property
    def verdicts(self) -> dict[str, Verdict]:
        return self.behaviour.verdicts

    @property
    def traffic(self) -> dict[str, Verdict]:
        return self.behaviour.traffic

    @property
    def unstartable(self) -> set[str]:
        return self.behaviour.unstartable

    def declaring(self, *declared: PlannedDeployment) -> SimulatedEnvironment:
        return SimulatedEnvironment(self, self.behaviour, declared)

    def look(self, *declared: PlannedDeployment) -> plan.Plan:
        return self.declaring(*declared).look(Options()).plan

    def pass_(self, *declared: PlannedDeployment) -> plan.Plan:
        """Perform one pass; the plan that it began with."""
        environment = self.declaring(*declared)
        self.one_pass(environment)
        return environment.plans[0]

    def one_pass(self, environment: SimulatedEnvironment) -> PassOutcome | None:
        """Perform one pass; None when the environment's own trouble ended it."""
        self.seconds += 1
        try:
            return reconcile(environment)
        except GitopsError:
            return None
        finally:
            self.require_safe()

    def sync(self, environment: SimulatedEnvironment) -> SyncResult:
        """Sync, and fail when something happened that must never happen."""
        try:
            return sync(environment)
        finally:
            self.require_safe()

    def settle(self, *declared: PlannedDeployment, passes: int = 25) -> plan.Plan:
        """Pass after pass until nothing is left to do. Fails when that never comes."""
        for _ in range(passes):
            planned = self.pass_(*declared)
            if not planned.actions:
                return planned
        raise Unsafe(f"not settled after {passes} passes, still: {planned.lines()}")

    def require_safe(self) -> None:
        if self.unsafe:
            raise Unsafe("; ".join(self.unsafe))


def _files(desired: Desired) -> EnvironmentFiles:
    return EnvironmentFiles(
        project=desired.project,
        name=desired.name,
        commit=desired.commit,
        environment=desired.environment,
        deployments={name: resolved.declaration for name, resolved in desired.deployments.items()},
        broken=desired.broken,
        records={},
    )


def dies_at(mutation: int) -> Callable[[str], None]:
    """A process that dies before its n-th mutation."""
    left = mutation

    def step(deployment: str) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    return step


def never(deployment: str) -> None:
    """Nothing goes wrong."""


def require_clean(host: Host, plan: plan.Plan, version: str, replicas: int) -> None:
    """Nothing is left but the replicas of one version, all of them routed to, and the gateway."""
    mark = version[-1] * 12
    assert host.serves(NAME) == [mark] * replicas
    assert sorted((c.generation, c.replica) for c in host.replicas(NAME)) == [(mark, n) for n in range(replicas)]
    assert [c.role for c in host.containers.values()].count("gateway") == 1
    assert host.state(NAME).open is None
