"""When the next pass over an environment is due, and which of its deployments rest until they are tried again.

Pure: the time and the random spread are handed in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from gitops_ml.control.backoff import ENVIRONMENT, is_healing
from gitops_ml.core.text import clean_line
from gitops_ml.errors import GitopsError, LockHeld

FIRST_BACKOFF = 1.0
LONGEST_BACKOFF = 300.0
WATCH_EVERY = 0.3
"""Seconds between two passes that watch a canary, so that a pass of another process can come in between."""
MOST_PASSES = 50
"""Passes in a row that all found something to do; then the environment waits for its interval."""
TIP = "(tip)"
"""The name of the trouble with a tip that cannot be followed, while passes go on at the commit applied last."""


@dataclass(frozen=True)
class PassResult:
    """What one pass over an environment came to.

    Attributes:
        errors: by the names of the back-off. With `ENVIRONMENT`, no deployment was worked on.
        unfinished: whether a pass that follows at once has something to do.
        watching: whether a candidate is among users, so that its requests have to be counted.
        opens_in: seconds until the window opens that a rollout waits for; None if none waits.
        waits_for_hosts: whether a rollout waits until other hosts record that it is Verified there.
    """

    errors: Mapping[str, BaseException] = field(default_factory=dict)
    unfinished: bool = False
    watching: bool = False
    opens_in: float | None = None
    waits_for_hosts: bool = False


@dataclass(frozen=True)
class Trouble:
    """An error that came back `failures` times in a row; the next try is due at `retry_at`."""

    error: BaseException
    failures: int
    retry_at: float

    @property
    def message(self) -> str:
        """The error for people. What nobody foresaw is named by its type; the log has the rest."""
        if isinstance(self.error, GitopsError):
            return str(self.error)
        return clean_line(f"unforeseen {type(self.error).__name__}: {self.error}")

    def says_the_same(self, other: Trouble | None) -> bool:
        """Whether both messages differ at most in their figures, as in `held for 12 s`."""
        return other is not None and _without_figures(self.message) == _without_figures(other.message)


class Turns:
    """The turns of one environment.

    Args:
        interval: seconds between two passes that find nothing to do.
        spread: a random factor of at least 1, so that many agents do not come back together after a failure.
    """

    def __init__(self, interval: float, spread: Callable[[], float], now: float) -> None:
        self._interval = interval
        self._spread = spread
        self.due = now
        self.trouble: dict[str, Trouble] = {}
        self.busy = False
        self._busy_passes = 0
        self._hastened_gap = 0.0
        self._hastened_next = now

    def resting(self, now: float) -> frozenset[str]:
        """The names whose next try is not due yet."""
        return frozenset(name for name, trouble in self.trouble.items() if name and trouble.retry_at > now)

    def wake(self, now: float) -> None:
        """Make everything due at once: there is a new commit, or the remote answers again."""
        self.due = now
        self.trouble = {name: Trouble(trouble.error, 0, now) for name, trouble in self.trouble.items()}

    def hasten(self, now: float) -> None:
        """Have the next pass at once, since something stopped serving, or other hosts recorded a verdict.

        What fails rests on.
        What happens again and again gets passes after 1, 2, 4 … seconds, at most after the interval. A pause of such a
        length ends that.
        """
        at = max(now, self._hastened_next)
        if ENVIRONMENT in self.trouble or at >= self.due:
            return
        self.due = at
        paused = now - self._hastened_next > self._hastened_gap
        self._hastened_gap = FIRST_BACKOFF if paused else min(2 * self._hastened_gap, self._interval)
        self._hastened_next = at + self._hastened_gap

    def ended(self, result: PassResult, resting: frozenset[str], now: float) -> None:
        """Take in what a pass that left out `resting` came to, and say in `due` when the next one is due.

        The wait is the smallest of what the deployments need. Only trouble of the whole environment makes the wait
        longer than the interval.
        """
        before = self.trouble
        # A pass that failed as a whole tells nothing of the deployments.
        kept = before.keys() if ENVIRONMENT in result.errors else before.keys() & resting
        self.trouble = {name: before[name] for name in kept if name}
        for name, error in result.errors.items():
            if name in resting:  # its canary was watched all the same, or its rollout ended: that makes no wait longer
                self.trouble[name] = replace(before[name], error=error)
                continue
            failures = before[name].failures + 1 if name in before else 1
            self.trouble[name] = Trouble(error, failures, now + self._backoff(name, error, failures))
        self.busy = (result.unfinished or result.watching) and ENVIRONMENT not in result.errors
        self._busy_passes = self._busy_passes + 1 if self.busy and not result.watching else 0
        self.due = now + self._wait(result, now)

    def _wait(self, result: PassResult, now: float) -> float:
        if ENVIRONMENT in self.trouble:
            return self.trouble[ENVIRONMENT].retry_at - now
        if result.watching:
            return min(self._interval, WATCH_EVERY)
        waits = [self._interval, *(max(0.0, trouble.retry_at - now) for trouble in self.trouble.values())]
        if result.opens_in is not None:
            waits.append(result.opens_in)
        if result.unfinished and self._busy_passes < MOST_PASSES:
            waits.append(0.0)
        return min(waits)

    def _backoff(self, name: str, error: BaseException, failures: int) -> float:
        """Double with each failure. What serves is healed at least every interval; so is a held lock asked for."""
        soon = isinstance(error, LockHeld) or is_healing(name)
        longest = min(self._interval, LONGEST_BACKOFF) if soon else LONGEST_BACKOFF
        return min(longest, FIRST_BACKOFF * 2.0 ** min(failures - 1, 20)) / self._spread()


def _without_figures(text: str) -> str:
    return re.sub(r"\d+", "", text)
