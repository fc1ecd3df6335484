"""The agent's world without threads and without waiting: jobs end at simulated times, and the clock jumps to them."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gitops_ml.control.agent.loop import Agent
from gitops_ml.control.agent.turns import PassResult
from gitops_ml.control.agent.world import Tip

Value = TypeVar("Value")
Outcome = PassResult | BaseException
Outcomes = Callable[[frozenset[str]], Outcome]
"""What a pass comes to, by what it leaves out."""


class SimulatedWorld:
    """A clock that only `wait` moves. A job is run when it starts; its end is seen `takes` seconds later."""

    def __init__(self) -> None:
        self._now = 0.0
        self._calls: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self.takes = 0.0

    def now(self) -> float:
        return self._now

    def at(self, moment: float, call: Callable[[], None]) -> None:
        """Have something happen at a moment."""
        heapq.heappush(self._calls, (moment, next(self._count), call))

    def start(self, job: Callable[[], Value], ended: Callable[[Future[Value]], None]) -> None:
        self.takes = 0.0
        future: Future[Value] = Future()
        try:
            future.set_result(job())
        except BaseException as error:
            future.set_exception(error)
        self.at(self._now + self.takes, partial(ended, future))

    def wait(self, seconds: float) -> None:
        until = self._now + seconds
        if self._calls and self._calls[0][0] <= until:
            self._now, _, call = heapq.heappop(self._calls)
            call()
        else:
            self._now = until

    def call(self, work: Callable[[], None]) -> None:
        self.at(self._now, work)

    def wake(self) -> None:
        self.at(self._now, lambda: None)


@dataclass
class SimulatedPasses:
    """The passes over one environment: what each comes to, how long it takes, and when they began."""

    world: SimulatedWorld
    outcomes: Outcomes
    takes: float = 0.1
    began: list[float] = field(default_factory=list)
    resting: list[frozenset[str]] = field(default_factory=list)
    under_way_until: float = -1.0
    closed: int = 0

    def run(self, resting: frozenset[str]) -> PassResult:
        now = self.world.now()
        assert now >= self.under_way_until, "two passes over one environment at a time"
        self.began.append(now)
        self.resting.append(resting)
        self.world.takes = self.takes
        self.under_way_until = now + self.takes
        outcome = self.outcomes(resting)
        if isinstance(outcome, BaseException):
            raise outcome.with_traceback(None)
        return outcome

    def close(self) -> None:
        self.closed += 1


IDLE = PassResult()


def always(outcome: Outcome) -> Outcomes:
    """Passes that all come to the same."""
    return lambda _: outcome


def in_order(outcomes: Iterable[Outcome]) -> Outcomes:
    """Passes that come to one thing after the other."""
    rest = iter(outcomes)
    return lambda _: next(rest)


@dataclass
class Simulation:
    """An agent over simulated passes. `tips` gives what is fetched at a moment, or raises."""

    outcomes: Mapping[str, Outcomes] = field(default_factory=dict)
    takes: Mapping[str, float] = field(default_factory=dict)
    tips: Callable[[float], Tip] = lambda _: Tip("a" * 40, ("dev", "prod"))
    interval: float = 30.0
    named: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.world = SimulatedWorld()
        self.passes: dict[str, SimulatedPasses] = {}
        self.reported: list[str] = []
        self.fetched: list[float] = []
        self.agent = Agent(
            read_tip=self._read_tip,
            passes_over=self._passes_over,
            world=self.world,
            report=self.reported.append,
            interval=self.interval,
            named=self.named,
            spread=lambda: 1.0,
        )

    def _read_tip(self) -> Tip:
        self.fetched.append(self.world.now())
        return self.tips(self.world.now())

    def _passes_over(self, name: str) -> SimulatedPasses:
        outcomes = self.outcomes.get(name, always(IDLE))
        self.passes[name] = SimulatedPasses(self.world, outcomes, self.takes.get(name, 0.1))
        return self.passes[name]

    def run(self, seconds: float) -> Simulation:
        """Run the agent from its start for so many simulated seconds."""
        self.world.at(seconds, self.agent.stop)
        self.agent.run()
        return self
