"""The agent's loop: the clone is fetched, and passes run side by side, until the agent is told to stop.

One thread runs the loop and owns all of its state. A fetch and a pass are jobs in threads of their own, and report
to the loop when they end. So a slow, failing or broken pass delays no other environment. Nothing is kept across a
restart: the next start goes on from what Git declares and what the hosts hold.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from gitops_ml.control.agent.kept_environment import LONG_PASS, KeptEnvironment
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.agent.turns import FIRST_BACKOFF, PassResult, Trouble, Turns
from gitops_ml.control.agent.world import Passes, Tip, World
from gitops_ml.control.backoff import ENVIRONMENT
from gitops_ml.core.declaration.hosts import declared_by, split_full_name
from gitops_ml.errors import GitopsError

BUSY_FETCH = 1.0
"""Seconds between two fetches while a rollout is under way, so that a newer commit preempts it within 5 seconds."""
HOOK_GAP = 0.5
"""Seconds at least between two fetches that `fetch_soon` asks for: a flood of hooks is no flood of fetches."""
STOP_SECONDS = 60.0
"""How long a pass may take to end after the agent was told to stop; the next start goes on from wherever it was."""
_NOTHING_DUE = 60.0

_log = logging.getLogger("gitops_ml.agent")


@dataclass
class _Source:
    """What the loop knows of the clone. `absent`: environments that ought to be declared and are not."""

    due: float
    tip: Tip | None = None
    fetching: bool = False
    fetched: float = 0.0
    failures: int = 0
    trouble: Trouble | None = None
    absent: frozenset[str] = frozenset()


class Agent:
    """Reconciles the environments that the clone's tip declares, or those of them that are named.

    Args:
        read_tip: fetches the clone. Raises what went wrong when not even an older tip is known.
        passes_over: makes the passes over the environment of a name.
        report: receives one line for each thing that a person may want to see. Must not raise or block.
        named: the environments to reconcile; all if empty.
        interval: seconds between two passes, or two fetches, that find nothing to do.
        spread: a random factor of at least 1 for the waits after a fetch and after a failure.

    Attributes:
        stopping: set by `stop`. A pass that is under way then ends before its next step.
        board: what the loop tells of itself to other threads.
    """

    def __init__(
        self,
        *,
        read_tip: Callable[[], Tip],
        passes_over: Callable[[str], Passes],
        world: World,
        report: Callable[[str], None],
        interval: float,
        named: Collection[str] = (),
        spread: Callable[[], float] = lambda: random.uniform(1.0, 1.2),
    ) -> None:
        self._read_tip = read_tip
        self._passes_over = passes_over
        self._world = world
        self._report = report
        self._interval = interval
        self._named = frozenset(named)
        self._spread = spread
        self.stopping = threading.Event()
        self.board = StatusBoard(world.now)
        self._pushed = threading.Event()
        self._source = _Source(due=world.now())
        self._environments: dict[str, KeptEnvironment] = {}

    def stop(self) -> None:
        """Let `run` return soon; may be called from a signal handler."""
        self.stopping.set()
        self._world.wake()

    def fetch_soon(self) -> None:
        """Fetch at once, since something was pushed. Any thread may call it; calls before the fetch begins are one."""
        if not self._pushed.is_set():
            self._pushed.set()
            self._world.wake()

    def pass_soon(self, environment: str) -> None:
        """Have a pass over an environment at once, since something there stopped serving. Any thread may call it."""
        self._world.call(partial(self._stopped_serving, environment))

    def run(self) -> None:
        """Fetch and reconcile until `stop`, then wait until the passes that are under way have ended."""
        while not self.stopping.is_set():
            now = self._world.now()
            self._begin_fetch(now)
            for environment in self._environments.values():
                self._begin_pass(environment, now)
            seconds = self._seconds_to_next(now)
            self.board.turned(now + seconds)
            self._world.wait(seconds)
        deadline = self._world.now() + STOP_SECONDS
        while self._running() and self._world.now() < deadline:
            self._world.wait(deadline - self._world.now())
        for environment in self._environments.values():
            if environment.began is None:
                environment.passes.close()

    def _seconds_to_next(self, now: float) -> float:
        due = [e.turns.due for e in self._environments.values() if e.began is None]
        # A pass that runs now may turn out to be a rollout; then the clone is fetched more often.
        due += [at for e in self._running() if (at := (e.began or 0.0) + LONG_PASS) > now]
        if not self._source.fetching:
            due.append(self._fetch_due(now))
        return max(0.0, min(due, default=now + _NOTHING_DUE) - now)

    def _running(self) -> list[KeptEnvironment]:
        return [e for e in self._environments.values() if e.began is not None]

    # --- the clone --------------------------------------------------------------------------------------------------

    def _fetch_due(self, now: float) -> float:
        if self._pushed.is_set():
            return min(self._source.due, self._source.fetched + HOOK_GAP)
        if self._source.trouble is None and any(e.rolls_out(now) for e in self._environments.values()):
            return min(self._source.due, self._source.fetched + BUSY_FETCH)
        return self._source.due

    def _begin_fetch(self, now: float) -> None:
        if not self._source.fetching and now >= self._fetch_due(now):
            self._source.fetching = True
            self._pushed.clear()
            self._world.start(self._read_tip, self._fetched)

    def _fetched(self, job: Future[Tip]) -> None:
        """Take in what a fetch came to: an outage is said once, and so is its end."""
        source, now = self._source, self._world.now()
        source.fetching, source.fetched = False, now
        try:
            tip = job.result()
        except BaseException as error:
            self._note_source_trouble(error)
            self._tell_fetch("")
            source.due = now + min(self._interval, FIRST_BACKOFF * 2.0 ** min(source.failures - 1, 20)) * self._spread()
            return
        source.due = now + self._interval * self._spread()
        answers_again = source.trouble is not None and tip.outage is None
        before = source.tip
        source.tip = tip
        self._note_source_trouble(tip.outage)
        self._tell_fetch(tip.commit)
        self._take_up(tip, now)
        recorded = before is not None and tip.differs_in_records_alone(before)
        news = before is not None and tip.commit != before.commit and not recorded
        for environment in self._environments.values():
            if news or answers_again:
                environment.wake(now)
            elif recorded and environment.waits:
                environment.hasten(now)

    def _note_source_trouble(self, error: BaseException | None) -> None:
        source = self._source
        if error is None:
            if source.trouble:
                self._report("recovered: the remote answers again")
            source.trouble, source.failures = None, 0
            return
        source.failures += 1
        trouble = Trouble(error, source.failures, 0.0)
        if not trouble.says_the_same(source.trouble):
            self._report(f"error: {trouble.message}")
            _log_unforeseen("fetching", error)
        source.trouble = trouble

    def _tell_fetch(self, commit: str) -> None:
        self.board.fetched(commit, self._source.trouble.message if self._source.trouble else "")

    def _take_up(self, tip: Tip, now: float) -> None:
        """Begin with environments that are new, and leave those that are not declared any more."""
        source, wanted = self._source, tip.chosen(self._named)
        for name in wanted:
            if name not in self._environments:
                turns = Turns(self._interval, self._spread, now)
                self._environments[name] = KeptEnvironment(name, self._passes_over(name), turns)
                self.board.took_up(name)
                self._report(f"reconcile {name}")
        absent = tip.absent(self._named, self._environments.keys() | source.absent)
        for environment in list(self._environments.values()):
            environment.declared = environment.name in wanted
            if not environment.declared:
                self._drop(environment)
        for name in sorted(absent - source.absent):
            self._report(
                f"error {name}: {declared_by(name)} is not in commit {tip.commit[:12]};"
                f" what runs there is left alone\n  fix: restore environments/{split_full_name(name)[0]}"
            )
        source.absent = absent
        self.board.lacks(source.absent)

    # --- the passes -------------------------------------------------------------------------------------------------

    def _begin_pass(self, environment: KeptEnvironment, now: float) -> None:
        if environment.began is not None or now < environment.turns.due:
            return
        environment.began, environment.woken, environment.missed = now, False, False
        environment.resting = environment.turns.resting(now)
        self.board.began(environment.name)
        self._world.start(partial(environment.passes.run, environment.resting), partial(self._passed, environment))

    def _passed(self, environment: KeptEnvironment, job: Future[PassResult]) -> None:
        """Take in what a pass came to. Whatever it raised is this environment's trouble alone."""
        now, turns = self._world.now(), environment.turns
        environment.began = None
        error = job.exception()
        if isinstance(error, KeyboardInterrupt) and self.stopping.is_set():
            return
        before = turns.trouble
        result = PassResult({ENVIRONMENT: error}) if error else job.result()
        if ENVIRONMENT not in result.errors:
            environment.unfinished = result.unfinished or result.watching
            environment.waits = result.waits_for_hosts
        turns.ended(result, environment.resting, now)
        self.board.ended(environment.name, turns.trouble, succeeded=ENVIRONMENT not in result.errors)
        self._report_changes(environment.name, before, turns.trouble)
        if environment.woken:
            turns.wake(now)
        elif environment.missed:
            turns.hasten(now)
        if not environment.declared:
            self._drop(environment)

    def _stopped_serving(self, name: str) -> None:
        environment = self._environments.get(name)
        if environment:
            environment.hasten(self._world.now())

    def _report_changes(self, environment: str, before: Mapping[str, Trouble], after: Mapping[str, Trouble]) -> None:
        """Say what is new, and what is over."""
        for name in sorted(before.keys() | after.keys()):
            place = f"{environment}/{name}" if name else environment
            if name not in after:
                self._report(f"recovered {place}")
            elif not after[name].says_the_same(before.get(name)):
                self._report(f"error {place}: {after[name].message}")
                _log_unforeseen(place, after[name].error)

    def _drop(self, environment: KeptEnvironment) -> None:
        """Forget an environment that is not declared, once no pass over it runs and no rollout is open.

        A candidate among users is watched to its end: passes go on at the commit that was applied last.
        """
        if environment.began is None and not environment.unfinished:
            del self._environments[environment.name]
            self.board.dropped(environment.name)
            self._world.start(environment.passes.close, lambda _: None)


def _log_unforeseen(place: str, error: BaseException) -> None:
    """Keep the traceback of what no part of the tool raises on purpose."""
    if not isinstance(error, GitopsError):
        _log.error("unforeseen in %s", place, exc_info=error)
