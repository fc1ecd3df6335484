"""What the agent's loop and its passes tell of themselves, for threads that only read: those of the HTTP server.

Each reading is one frozen value. So a reader waits for nothing but a few assignments, and delays no pass.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from gitops_ml.control.agent.turns import Trouble
from gitops_ml.control.environment.view import View

PASS_SECONDS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Upper bounds of the histogram of how long passes take."""


class Rollout(NamedTuple):
    """The labels under which a settled rollout is counted."""

    deployment: str
    verdict: str
    outcome: str


@dataclass(frozen=True)
class EnvironmentStatus:
    """One environment, since the agent took it up.

    Attributes:
        began: when the pass under way began, on the agent's monotonic clock; None while none runs.
        succeeded: when the last pass that could work on the environment ended, on the monotonic clock.
        succeeded_at, looked_at, reviewed_at: the last success, the last look and the last review without an error, in
            seconds since 1970.
        took: how many passes took at most as long as each bound of `PASS_SECONDS`; last, those that took longer.
        trouble: what fails now, by the names of the back-off.
        view: the last look.
        rollouts: how many rollouts settled.
        settled: the ids of the settled attempts in `view`.
    """

    began: float | None = None
    succeeded: float | None = None
    succeeded_at: float | None = None
    looked_at: float | None = None
    reviewed_at: float | None = None
    failures: int = 0
    seconds: float = 0.0
    took: tuple[int, ...] = (0,) * (len(PASS_SECONDS) + 1)
    trouble: Mapping[str, Trouble] = field(default_factory=dict)
    view: View | None = None
    rollouts: Mapping[Rollout, int] = field(default_factory=dict)
    settled: frozenset[str] = frozenset()

    @property
    def passes(self) -> int:
        """How many passes ended."""
        return sum(self.took)


@dataclass(frozen=True)
class AgentStatus:
    """The agent at one moment.

    Attributes:
        next_turn: when the loop turns again at the latest, on the monotonic clock.
        commit: the tip that was fetched last; empty before the first one.
        fetched_at: when the Git remote was last read, in seconds since 1970; None if it never was.
        outage: why the clone could not be fetched the last time; empty if it was.
        absent: environments that ought to be declared and are not.
    """

    next_turn: float
    commit: str = ""
    fetched_at: float | None = None
    fetches: int = 0
    fetch_failures: int = 0
    outage: str = ""
    absent: frozenset[str] = frozenset()
    environments: Mapping[str, EnvironmentStatus] = field(default_factory=dict)


class StatusBoard:
    """The agent's status, written by the loop and its passes and read by any thread.

    Args:
        now: the loop's monotonic clock.
        clock: the seconds since 1970.
    """

    def __init__(self, now: Callable[[], float], clock: Callable[[], float] = time.time) -> None:
        self.now = now
        self._clock = clock
        self._lock = threading.Lock()
        self._status = AgentStatus(next_turn=now())

    def read(self) -> AgentStatus:
        """The agent's status now."""
        return self._status

    # --- what the loop tells

    def turned(self, next_turn: float) -> None:
        """Note that the loop has turned, and when it turns again at the latest."""
        with self._lock:
            self._status = replace(self._status, next_turn=next_turn)

    def fetched(self, commit: str, outage: str) -> None:
        """Note that a fetch has ended. `outage`: why the remote was not read, empty if it was."""
        with self._lock:
            status = self._status
            self._status = replace(
                status,
                commit=commit or status.commit,
                fetches=status.fetches + 1,
                fetch_failures=status.fetch_failures + bool(outage),
                fetched_at=status.fetched_at if outage else self._clock(),
                outage=outage,
            )

    def lacks(self, absent: frozenset[str]) -> None:
        """Note which environments ought to be declared and are not."""
        with self._lock:
            self._status = replace(self._status, absent=absent)

    def took_up(self, environment: str) -> None:
        """Note that the agent keeps an environment from now on."""
        self._set(environment, EnvironmentStatus())

    def began(self, environment: str) -> None:
        """Note that a pass begins."""
        self._change(environment, lambda status: replace(status, began=self.now()))

    def ended(self, environment: str, trouble: Mapping[str, Trouble], *, succeeded: bool) -> None:
        """Note that a pass has ended. `succeeded`: it worked on the environment, whatever single deployments met."""
        now = self.now()

        def change(status: EnvironmentStatus) -> EnvironmentStatus:
            seconds = now - (now if status.began is None else status.began)
            took = list(status.took)
            took[bisect_left(PASS_SECONDS, seconds)] += 1
            return replace(
                status,
                began=None,
                succeeded=now if succeeded else status.succeeded,
                succeeded_at=self._clock() if succeeded else status.succeeded_at,
                failures=status.failures + (not succeeded),
                seconds=status.seconds + seconds,
                took=tuple(took),
                trouble=dict(trouble),
            )

        self._change(environment, change)

    def dropped(self, environment: str) -> None:
        """Note that the agent keeps an environment no longer."""
        with self._lock:
            kept = {name: status for name, status in self._status.environments.items() if name != environment}
            self._status = replace(self._status, environments=kept)

    # --- what a pass and a review tell

    def reviewed(self, environment: str) -> None:
        """Note that what serves was judged again."""
        self._change(environment, lambda status: replace(status, reviewed_at=self._clock()))

    def looked(self, view: View) -> None:
        """Note a look. Rollouts that have settled since the look before are counted."""
        settled = {
            attempt.id: Rollout(name, attempt.verdict or "Unverified", attempt.outcome or "")
            for name, deployment in view.state.deployments.items()
            for attempt in deployment.attempts
            if not attempt.boot and attempt.outcome != "reviewed"
        }

        def change(status: EnvironmentStatus) -> EnvironmentStatus:
            rollouts = Counter(status.rollouts)
            if status.view is not None:  # what had settled before the agent's first look was counted by others
                rollouts.update(rollout for id, rollout in settled.items() if id not in status.settled)
            return replace(
                status, looked_at=self._clock(), view=view, rollouts=dict(rollouts), settled=frozenset(settled)
            )

        self._change(view.desired.full_name, change)

    def _change(self, environment: str, change: Callable[[EnvironmentStatus], EnvironmentStatus]) -> None:
        with self._lock:
            if status := self._status.environments.get(environment):
                environments = {**self._status.environments, environment: change(status)}
                self._status = replace(self._status, environments=environments)

    def _set(self, environment: str, status: EnvironmentStatus) -> None:
        with self._lock:
            self._status = replace(self._status, environments={**self._status.environments, environment: status})
