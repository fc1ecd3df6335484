"""Executing a plan: the environment's own actions first, then the deployments side by side, each with a boundary.

What goes wrong in one deployment ends that deployment's actions alone. While one of them takes long (a build, the start
and checks of a candidate), the others are looked at again and again: a canary is watched, and what breaks is healed.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from gitops_ml.control.actions import perform
from gitops_ml.control.backoff import Backoff
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.checks.rejected import rejected
from gitops_ml.control.host import Host
from gitops_ml.core.journal.entries import Judged
from gitops_ml.core.planning import plan
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import GitopsError, LockLost, ModelRejected, Superseded

LOOK_EVERY = 1.0
"""Seconds between two looks at the other deployments while one takes long."""
MOST_RUNS = 3
"""How often one deployment may begin actions that take long in one pass: each run but the first follows from a verdict,
or from what broke meanwhile.
"""
MOST_ROLLOUTS, MOST_REPAIRS = 4, 16
"""How many candidates are brought up side by side, and how many deployments are otherwise worked on. Canaries are
watched without a limit.
"""

LookAgain = Callable[[], plan.Plan | None]


@dataclass
class ExecutionResult:
    """What a pass came to. `errors` and `settled` (the outcomes of rollouts that ended) are by deployment.

    `watching`: users' requests were counted. `acted`: something was begun. `blocked`: the gateway cannot be had, so no
    deployment was worked on.
    """

    errors: dict[str, GitopsError] = field(default_factory=dict)
    settled: dict[str, list[str]] = field(default_factory=dict)
    watching: bool = False
    acted: bool = False
    blocked: bool = False


@dataclass
class _Outcome:
    """What one deployment's actions came to. `judged`: a verdict was reached, which a new plan acts upon at once."""

    error: GitopsError | None = None
    settled: list[str] = field(default_factory=list)
    judged: bool = False


@dataclass(frozen=True)
class _Run:
    """One deployment's actions of one plan, while they are performed. `resting`: it is not due, and only healed."""

    kind: Literal["rollout", "repair", "watch"]
    outcome: Future[_Outcome]
    resting: bool


def execute(first: plan.Plan, host: Host, backoff: Backoff, look_again: LookAgain) -> ExecutionResult:
    """Perform a plan's actions and what follows from their verdicts; return when no deployment is busy.

    Errors are returned by deployment, and noted in `backoff`: a deployment that is not due yet is healed, and no more.

    Args:
        look_again: observes and plans anew, at the same or a newer commit; None when that is not possible now.

    Raises `LockLost` and `KeyboardInterrupt`, once everything that was begun has ended.
    """
    execution = _Execution(host, backoff)
    try:
        execution.begin(first)
        while execution.busy:
            judged = execution.collect()
            if judged or execution.others_are_due:
                planned = look_again()
                execution.begin(planned, only=None if execution.takes_long else judged)
    except BaseException:
        host.stop()
        wait([run.outcome for run in execution.busy.values()])
        raise
    return execution.result


class _Execution:
    """The deployments that are busy in one pass, and what came of the others."""

    def __init__(self, host: Host, backoff: Backoff) -> None:
        self._host, self._backoff = host, backoff
        self._long_runs: Counter[str] = Counter()
        self._declared: set[str] = set()
        self._next_look = 0.0
        self.busy: dict[str, _Run] = {}
        self.result = ExecutionResult()

    @property
    def takes_long(self) -> bool:
        """Whether the others cannot be left alone until the busy ones end: a canary is watched for 2 s at a time."""
        return any(run.kind != "watch" for run in self.busy.values())

    @property
    def others_are_due(self) -> bool:
        """Whether it is time to look at the deployments that wait beside one that takes long."""
        return self.takes_long and time.monotonic() >= self._next_look

    def begin(self, planned: plan.Plan | None, only: set[str] | None = None) -> None:
        """Begin the plan's actions as far as their deployments are due and not busy; of `only` these if given."""
        self._next_look = time.monotonic() + LOOK_EVERY
        if planned is None:
            return
        self._declared = {status.name for status in planned.statuses}
        actions: dict[str, list[plan.Action]] = {}
        for action in planned.actions:
            if not isinstance(action, plan.Publish) and self._backoff.allows(action):
                actions.setdefault(action.deployment, []).append(action)
        self.result.blocked = not self._prepare(actions.pop("", []))
        if self.result.blocked:
            return
        for name, steps in actions.items():
            if (only is None or name in only) and self._may_begin(name, _kind(steps)):
                self._begin(name, steps)

    def _may_begin(self, name: str, kind: str) -> bool:
        if name in self.busy:
            return False
        if kind == "watch":
            return True
        most = MOST_ROLLOUTS if kind == "rollout" else MOST_REPAIRS
        return self._long_runs[name] < MOST_RUNS and sum(run.kind == kind for run in self.busy.values()) < most

    def _begin(self, name: str, steps: Sequence[plan.Action]) -> None:
        kind = _kind(steps)
        self._long_runs[name] += kind != "watch"
        self.result.acted = True
        self.result.watching |= any(isinstance(step, plan.Watch) for step in steps)
        resting = self._backoff.wait(name) > 0
        self.busy[name] = _Run(kind, self._host.begin(partial(_perform_all, steps, self._host)), resting)

    def _prepare(self, steps: Sequence[plan.Action]) -> bool:
        """Perform the environment's own actions. Returns whether its deployments can be worked on."""
        usable, error = True, None
        for step in steps:
            self.result.acted = True
            try:
                perform(step, self._host)
            except LockLost:
                raise
            except Exception as raised:
                error = error or as_gitops_error(raised, self._host.environment)
                usable = usable and not isinstance(step, plan.EnsureGateway)
        if steps:
            self._note("", error)
        return usable

    def collect(self) -> set[str]:
        """Wait until a deployment has ended, or the others are due. Returns the deployments that reached a verdict."""
        idle = self._declared - self.busy.keys()
        patience = max(0.0, self._next_look - time.monotonic()) if idle and self.takes_long else None
        wait([run.outcome for run in self.busy.values()], timeout=patience, return_when=FIRST_COMPLETED)
        ended = {name: run for name, run in self.busy.items() if run.outcome.done()}
        judged = set()
        for name, run in ended.items():
            outcome = run.outcome.result()
            del self.busy[name]
            if outcome.error or not run.resting:  # healing that went well says nothing about the rollout that rests
                self._note(name, outcome.error)
            if outcome.settled:
                self.result.settled.setdefault(name, []).extend(outcome.settled)
            if outcome.judged:
                judged.add(name)
        return judged

    def _note(self, name: str, error: GitopsError | None) -> None:
        if error is None:
            self._backoff.succeeded(name)
            self.result.errors.pop(name, None)
        else:
            self._backoff.failed(name, error)
            self.result.errors[name] = error


def _kind(steps: Sequence[plan.Action]) -> Literal["rollout", "repair", "watch"]:
    if any(isinstance(step, plan.Build | plan.Verify) for step in steps):
        return "rollout"
    return "watch" if all(isinstance(step, plan.Watch) for step in steps) else "repair"


def _perform_all(steps: Sequence[plan.Action], host: Host) -> _Outcome:
    """Perform one deployment's actions in their order. After a failed healing action, skip the other healing actions.

    Raises `LockLost` and whatever is no `Exception`; any other error is in the outcome.
    """
    name, outcome = steps[0].deployment, _Outcome()
    verdict = _verdict(host, name)
    for step in steps:
        if outcome.error and step.healing:
            continue
        try:
            _perform_or_judge(step, host)
        except LockLost:
            raise
        except Superseded as error:
            host.report(f"stop {error.what}")
            break
        except Exception as error:
            outcome.error = outcome.error or as_gitops_error(error, f"{host.environment}/{name}")
            if not step.healing:
                break
        else:
            if isinstance(step, plan.Settle):
                outcome.settled.append(step.outcome)
        outcome.judged = verdict is None and _verdict(host, name) is not None
        if outcome.judged:
            break
    return outcome


def _perform_or_judge(step: plan.Action, host: Host) -> None:
    """Perform an action. A candidate whose files are malformed is judged Failed for it."""
    try:
        perform(step, host)
    except ModelRejected as error:
        attempt = host.state.of(step.deployment).open
        generation = getattr(step, "generation", None)
        if attempt is None or generation is None or generation.fingerprint != attempt.generation.fingerprint:
            raise
        check = rejected(error)
        host.report(f"{check.name} {check.word} {host.environment}/{step.deployment}: {check.reason}")
        host.write(
            Judged(
                at=host.now().isoformat(),
                attempt=attempt.id,
                deployment=step.deployment,
                verdict="Failed",
                checks=(check,),
            )
        )


def _verdict(host: Host, deployment: str) -> Verdict | None:
    attempt = host.state.of(deployment).open
    return attempt.verdict if attempt else None
