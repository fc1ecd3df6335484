"""Executing a plan: the environment's own actions first, then the deployments side by side, each with a boundary.

What goes wrong in one deployment ends that deployment's actions alone. While one of them takes long (a build, the start
and checks of a candidate), the others are looked at again and again: a canary is watched, and what breaks is healed.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from gitops_ml.control.backoff import ENVIRONMENT, Backoff, deployment_of, healing_of, name_of
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.execution.actions import perform
from gitops_ml.control.execution.deployment_actions import Outcome, perform_all
from gitops_ml.control.session import Session
from gitops_ml.core.planning import plan
from gitops_ml.errors import GitopsError, LockLost

LOOK_EVERY, LOOK_ALONE_EVERY = 1.0, 5.0
"""Seconds between two looks at the other deployments while one takes long; and where there are no others, at what
serves beside its candidate.
"""
REPAIR_EVERY = 5.0
"""Seconds between two repairs of one deployment in one pass, unless a verdict asks for one."""
MOST_ROLLOUT_RUNS = 3
"""How often one deployment may build or check a candidate in one pass."""
MOST_ROLLOUTS, MOST_REPAIRS = 4, 16
"""How many candidates are brought up side by side, and how many deployments are otherwise worked on. Canaries are
watched without a limit.
"""

LookAgain = Callable[[], plan.Plan | None]


@dataclass
class ExecutionResult:
    """What a pass came to. `errors` are by the names of the back-off, and `succeeded` are the names that were worked on
    and have no error now. `settled` lists the outcomes of rollouts that ended, by deployment.

    `watching`: users' requests were counted. `acted`: something was begun. `blocked`: the gateway cannot be had, so no
    deployment was worked on.
    """

    errors: dict[str, GitopsError] = field(default_factory=dict)
    settled: dict[str, list[str]] = field(default_factory=dict)
    succeeded: set[str] = field(default_factory=set)
    watching: bool = False
    acted: bool = False
    blocked: bool = False


@dataclass(frozen=True)
class _DeploymentRun:
    """One deployment's actions of one plan, while they are performed.

    `healed`: set once no healing action is left. `resting`: the names that were in back-off when it began.
    """

    kind: Literal["rollout", "repair", "watch"]
    outcome: Future[Outcome]
    healed: threading.Event
    resting: frozenset[str]


def execute(first: plan.Plan, session: Session, backoff: Backoff, look_again: LookAgain) -> ExecutionResult:
    """Perform a plan's actions and what follows from their verdicts; return when no deployment is busy.

    Errors are noted in `backoff`, and only what is due by it is begun.

    Args:
        look_again: observes and plans anew, at the same or a newer commit; None when that is not possible now.

    Raises `LockLost` and `KeyboardInterrupt`, once everything that was begun has ended.
    """
    execution = _Execution(session, backoff)
    try:
        execution.begin(first)
        while execution.busy:
            judged = execution.collect()
            if judged or execution.others_are_due:
                healed = execution.healed
                planned = look_again()
                execution.begin(planned, only=None if execution.takes_long else judged, healed=healed)
    except BaseException:
        session.stop()
        wait([run.outcome for run in execution.busy.values()])
        raise
    return execution.result


class _Execution:
    """The deployments that are busy in one pass, and what came of the others.

    A key of `busy` is a deployment, or its `healing_of` while it is healed during its own rollout.
    """

    def __init__(self, session: Session, backoff: Backoff) -> None:
        self._session, self._backoff = session, backoff
        self._rollout_runs: Counter[str] = Counter()
        self._next_repair: dict[str, float] = {}
        self._declared: set[str] = set()
        self._looked_at = 0.0
        self.busy: dict[str, _DeploymentRun] = {}
        self.result = ExecutionResult()

    @property
    def takes_long(self) -> bool:
        """Whether the others cannot be left alone until the busy ones end: a canary is watched for 2 s at a time."""
        return any(run.kind != "watch" for run in self.busy.values())

    @property
    def others_are_due(self) -> bool:
        """Whether it is time to look at what waits beside a deployment that takes long."""
        return time.monotonic() >= self._next_look

    @property
    def _next_look(self) -> float:
        if self.takes_long and self._declared - self.busy.keys():
            return self._looked_at + LOOK_EVERY
        if any(run.kind == "rollout" for run in self.busy.values()):
            return self._looked_at + LOOK_ALONE_EVERY
        return math.inf

    @property
    def healed(self) -> set[str]:
        """The deployments that build or check a candidate, and have healed what serves before it."""
        return {name for name, run in self.busy.items() if run.kind == "rollout" and run.healed.is_set()}

    def begin(
        self, planned: plan.Plan | None, only: set[str] | None = None, healed: Collection[str] = frozenset()
    ) -> None:
        """Begin the plan's actions as far as they are due, and their deployments not busy.

        Args:
            only: begin those of these deployments alone.
            healed: what `healed` gave before the plan was made. What the plan says about the serving generations of
                other busy deployments may be out of date.
        """
        self._looked_at = time.monotonic()
        if planned is None:
            return
        self._declared = {status.name for status in planned.statuses}
        actions: dict[str, list[plan.Action]] = {}
        for action in self._backoff.due(planned.actions):
            if not isinstance(action, plan.WriteRecords):
                actions.setdefault(action.deployment, []).append(action)
        self.result.blocked = not self._prepare(actions.pop("", []))
        if self.result.blocked:
            return
        for name, steps in actions.items():
            if only is not None and name not in only:
                continue
            if name not in self.busy:
                self._begin(name, steps)
            elif name in healed and _kind(steps) == "rollout":
                self._begin(healing_of(name), [step for step in steps if step.healing])

    def _may_begin(self, key: str, kind: str) -> bool:
        if key in self.busy or healing_of(key) in self.busy:
            return False
        beside = sum(run.kind == kind for run in self.busy.values())
        if kind == "rollout":
            return self._rollout_runs[key] < MOST_ROLLOUT_RUNS and beside < MOST_ROLLOUTS
        return kind == "watch" or (time.monotonic() >= self._next_repair.get(key, 0.0) and beside < MOST_REPAIRS)

    def _begin(self, key: str, steps: Sequence[plan.Action]) -> None:
        """Begin actions of one deployment, if there are any and they may begin now."""
        kind = _kind(steps)
        if not steps or not self._may_begin(key, kind):
            return
        self._rollout_runs[key] += kind == "rollout"
        if kind == "repair":
            self._next_repair[key] = time.monotonic() + REPAIR_EVERY
        self.result.acted = True
        self.result.watching |= any(isinstance(step, plan.Watch) for step in steps)
        resting = frozenset(name for name in map(name_of, steps) if self._backoff.wait(name) > 0)
        healed = threading.Event()
        self.busy[key] = _DeploymentRun(
            kind, self._session.begin(partial(perform_all, steps, self._session, healed)), healed, resting
        )

    def _prepare(self, steps: Sequence[plan.Action]) -> bool:
        """Perform the environment's own actions. Returns whether its deployments can be worked on."""
        errors: dict[str, GitopsError] = {}
        for step in steps:
            self.result.acted = True
            try:
                perform(step, self._session)
            except LockLost:
                raise
            except Exception as raised:
                errors.setdefault(name_of(step), as_gitops_error(raised, self._session.environment))
        for name in set(map(name_of, steps)):
            self._note(name, errors.get(name))
        return ENVIRONMENT not in errors

    def collect(self) -> set[str]:
        """Wait until a deployment has ended, or the others are due. Returns the deployments that reached a verdict."""
        next_look = self._next_look
        patience = None if next_look == math.inf else max(0.0, next_look - time.monotonic())
        wait([run.outcome for run in self.busy.values()], timeout=patience, return_when=FIRST_COMPLETED)
        ended = {key: run for key, run in self.busy.items() if run.outcome.done()}
        judged = set()
        for key, run in ended.items():
            outcome, deployment = run.outcome.result(), deployment_of(key)
            del self.busy[key]
            for name in outcome.tried:
                # A canary is watched during back-off too. That does not end the back-off, unless the rollout is over.
                self._note(name, outcome.errors.get(name), resting=name in run.resting and not outcome.settled)
            if outcome.settled:
                self.result.settled.setdefault(deployment, []).extend(outcome.settled)
            if outcome.judged:
                judged.add(deployment)
                self._next_repair.pop(deployment, None)
        return judged

    def _note(self, name: str, error: GitopsError | None, *, resting: bool = False) -> None:
        """Note how something went. A failure in back-off is reported, and not counted: it makes no wait longer."""
        if error:
            self.result.errors[name] = error
            self.result.succeeded.discard(name)
            if not resting:
                self._backoff.failed(name, error)
        elif not resting:
            self._backoff.succeeded(name)
            self.result.errors.pop(name, None)
            self.result.succeeded.add(name)


def _kind(steps: Sequence[plan.Action]) -> Literal["rollout", "repair", "watch"]:
    if any(isinstance(step, plan.Build | plan.Verify) for step in steps):
        return "rollout"
    return "watch" if all(isinstance(step, plan.Shift | plan.Watch) for step in steps) else "repair"
