"""What the agent's loop works with: the fetched tip, the passes over an environment, and the clock with its jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, TypeVar

from gitops_ml.control.agent.turns import PassResult
from gitops_ml.core.declaration.hosts import split_full_name
from gitops_ml.errors import GitopsError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Tip:
    """What was fetched last: the commit and the full names of the environments that it declares.

    `outage` is why the remote could not be fetched this time; None when it was. `records` and `rest` identify the
    content of all records, and of everything else.
    """

    commit: str
    environments: tuple[str, ...]
    outage: GitopsError | None = None
    records: str = ""
    rest: str = ""

    def differs_in_records_alone(self, before: Tip) -> bool:
        """Whether the commits since `before` changed records and nothing else: that is news for no pass."""
        return self.rest == before.rest and self.records != before.records

    def chosen(self, named: Collection[str]) -> list[str]:
        """The environments that are named, or whose host is; all if none is named."""
        return [n for n in self.environments if not named or n in named or split_full_name(n)[0] in named]

    def absent(self, named: Collection[str], known: Collection[str]) -> frozenset[str]:
        """What ought to be declared and is not: what is named, and whole environments that were known.

        A host that an environment has no longer was taken out by a person; a whole folder may vanish by mistake.
        """
        declared = {*self.environments, *(split_full_name(name)[0] for name in self.environments)}
        gone = {name for name in known if split_full_name(name)[0] not in declared}
        return frozenset(gone.union(name for name in named if name not in declared))


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
