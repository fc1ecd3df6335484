"""What the agent's loop works with: the fetched tip, the passes over an environment, and the clock with its jobs."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gitops_ml.control.agent.turns import PassResult
from gitops_ml.errors import GitopsError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Tip:
    """What was fetched last: the commit and the environments that it declares.

    `outage` is why the remote could not be fetched this time; None when it was.
    """

    commit: str
    environments: tuple[str, ...]
    outage: GitopsError | None = None


class Passes(Protocol):
    """The passes over one environment. At most one runs at a time, each perhaps in another thread."""

    def run(self, resting: frozenset[str]) -> PassResult:
        """Make one pass, in which the names in `resting` are in back-off.

        Raises whatever goes wrong with the environment as a whole; `KeyboardInterrupt` when the agent stops.
        """
        ...

    def close(self) -> None:
        """Close what was opened. Raises nothing."""
        ...


class World(Protocol):
    """The clock, and jobs that run beside the loop."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...

    def start(self, job: Callable[[], Value], ended: Callable[[Future[Value]], None]) -> None:
        """Run `job` beside the loop. When it has ended, a later `wait` calls `ended` with its result."""
        ...

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or when a job has ended and its `ended` was called, or at `wake` and `call`."""
        ...

    def call(self, work: Callable[[], None]) -> None:
        """Have the current or the next `wait` call `work`; may be called from any thread."""
        ...

    def wake(self) -> None:
        """End the current or the next `wait`; may be called from a signal handler."""
        ...
