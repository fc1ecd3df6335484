"""Judges again, every so often, what serves: a version that was good may be so no longer on today's rows.

Each environment is judged in a thread of its own beside the passes over it, since checks take long and need no lock.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path

from gitops_ml.clients import background
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.agent.passes import last_fetched
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.agent.turns import Trouble
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.review import DeploymentReview, Review, review

LONGEST_WAIT = 1.0
"""Seconds until an environment that is new is seen, and until `close` is."""
STOP_SECONDS = 5.0


def review_environment(
    clone: Path, environment: str, report: Callable[[str], None], stopping: threading.Event
) -> Review:
    """Judge what serves in an environment, at the tip that was fetched last. Raises as `review`.

    Results of checks are not reported: an agent runs for months, and `Reviews` says what has changed.
    """

    def report_others(line: str) -> None:
        if getattr(line, "kind", "") != "check":
            report(line)

    with Repository.open(clone) as repo:
        target = EnvironmentTarget(repo, environment, report_others, stopping=stopping, read_tip=last_fetched)
        try:
            return review(target, follow=False)
        finally:
            target.connection.close()


def _changed(environment: str, reviewed: DeploymentReview) -> str:
    """The line of a verdict that changed, with the first check that explains it."""
    reason = next((f": {c.name}, {c.reason}" for c in reviewed.checks if c.prevents_verified), "")
    place = f"{environment}/{reviewed.name} {reviewed.version}"
    return f"verify {place} {reviewed.verdict}, {reviewed.before or 'Unverified'} before{reason}"


class Reviews:
    """Reviews of the environments on the status board.

    Args:
        judge: judges one environment, by name. May raise anything.
        every: seconds between two reviews of an environment.
        report: receives each line that a person may want to see.
        recorded: called after a review that changed Git: what follows is the agent's work.
        share: which share of `every` passes before an environment's first review: random, so that many agents, or the
            environments of one, do not come together.
    """

    def __init__(
        self,
        judge: Callable[[str], Review],
        board: StatusBoard,
        every: float,
        report: Callable[[str], None],
        recorded: Callable[[], None],
        share: Callable[[], float] = random.random,
    ) -> None:
        self._judge, self._board, self._every = judge, board, every
        self._report, self._recorded, self._share = report, recorded, share
        self._due: dict[str, float] = {}
        self._running: dict[str, Future[None]] = {}
        self._trouble: dict[str, Trouble] = {}
        self._telling = threading.Lock()
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin to review, in threads."""
        background.begin(self._run)

    def close(self) -> None:
        """Begin no more reviews, and wait a little for those under way, which the agent has stopped."""
        self._stopping.set()
        wait(self._running.values(), timeout=STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(LONGEST_WAIT):
            self.turn(time.monotonic())

    def turn(self, now: float) -> None:
        """Begin the reviews that are due; an environment whose review is under way waits for its next turn."""
        names = self._board.read().environments.keys()
        self._due = {name: self._due.get(name, now + self._every * self._share()) for name in names}
        for name, due in self._due.items():
            under_way = self._running.get(name)
            if due <= now and (under_way is None or under_way.done()):
                self._due[name] = now + self._every
                self._running[name] = background.begin(partial(self._review, name))

    def _review(self, environment: str) -> None:
        errors: dict[str, BaseException] = {}
        try:
            result = self._judge(environment)
        except BaseException as error:
            if self._stopping.is_set() or isinstance(error, KeyboardInterrupt):
                return
            errors[environment] = error
        else:
            for each in result.reviews:
                if each.changed:
                    self._report(_changed(environment, each))
            errors = {f"{environment}/{name}": error for name, error in result.errors.items()}
            if result.record_error:
                errors[environment] = result.record_error
            if result.recorded:
                self._recorded()
        with self._telling:
            self._report_changes(environment, errors)
        if not errors:
            self._board.reviewed(environment)

    def _report_changes(self, environment: str, errors: Mapping[str, BaseException]) -> None:
        """Say trouble that is new, and trouble that is over."""
        for place in [place for place in self._trouble if place.split("/")[0] == environment and place not in errors]:
            del self._trouble[place]
            self._report(f"recovered verify {place}")
        for place, error in errors.items():
            trouble = Trouble(error, 1, 0.0)
            if not trouble.says_the_same(self._trouble.get(place)):
                self._report(f"error verify {place}: {trouble.message}")
            self._trouble[place] = trouble
