"""What the agent's jobs do: fetch the clone, and reconcile one environment of it.

Each environment has a reader of the clone and an engine connection of its own, which no other thread uses. Passes
fetch nothing: they read the tip that the agent fetched last, for all of them. So in an outage of the Git remote what
serves is still healed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from gitops_ml.clients.engine.watch import EngineWatch
from gitops_ml.clients.files.environments import environment_names, full_names
from gitops_ml.clients.files.records import content_ids
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.agent.turns import TIP, PassResult
from gitops_ml.control.agent.world import Tip
from gitops_ml.control.backoff import ENVIRONMENT, RECORD, UPKEEP, Backoff, name_of
from gitops_ml.control.environment.hosts import Hosts
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.environment.view import View
from gitops_ml.control.reconciler import Reconcilable, reconcile
from gitops_ml.core.planning import plan
from gitops_ml.errors import (
    EngineUnavailable,
    GitopsError,
    InputError,
    SourceUnavailable,
)

WATCH_AGAIN = 60.0
"""Seconds at least between two tries to follow the events of one engine, which may refuse to give them."""


def read_tip(clone: Path) -> Tip:
    """Fetch the clone; where the remote does not answer, take what was fetched last.

    Raises `SourceUnavailable` when nothing was ever fetched.
    """
    with Repository.open(clone) as repo:
        outage = None
        try:
            commit = repo.fetch()
        except SourceUnavailable as error:
            last = repo.find_tip()
            if last is None:
                raise
            outage, commit = error, last
        names = full_names(repo, commit, environment_names(repo, commit))
        return Tip(commit, tuple(names), outage, *content_ids(repo, commit))


def last_fetched(repo: Repository, seconds: float = 0.0) -> str:
    """The tip as it was fetched last, by whatever thread or process. Raises `SourceUnavailable` when it never was."""
    repo.forget()
    return repo.tip()


class EnvironmentPasses:
    """The passes over one environment.

    After a failure the connections are closed, and the next pass makes new ones: a lost engine is met again.

    Args:
        stopping: once it is set, a pass ends with `KeyboardInterrupt` before its next step.
        hosts: shared by the passes over all environments.
        on_look: called with the looks of each pass.
        changed: called, from any thread, when something on the engine stops serving. Without it nothing is watched.
    """

    def __init__(
        self,
        clone: Path,
        environment: str,
        report: Callable[[str], None],
        stopping: threading.Event,
        hosts: Hosts,
        on_look: Callable[[View], None] = lambda view: None,
        changed: Callable[[], None] | None = None,
    ) -> None:
        self._on_look = on_look
        self._changed = changed
        self._clone = clone
        self._environment = environment
        self._report = report
        self._stopping, self._hosts = stopping, hosts
        self._target: EnvironmentTarget | None = None
        self._watch: EngineWatch | None = None

    def run(self, resting: frozenset[str]) -> PassResult:
        """Make one pass. Raises what `reconcile` raises; what deployments raise is in the result."""
        try:
            result = one_pass(self._open(), resting, self._watch_engine)
        except BaseException:
            self.close()
            raise
        if any(isinstance(error, EngineUnavailable) for error in result.errors.values()):
            self.close()
        return result

    def close(self) -> None:
        """Close the reader of the clone and the engine connections. Raises nothing."""
        target, self._target = self._target, None
        watch, self._watch = self._watch, None
        if watch:
            watch.close()
        if target is None:
            return
        for opened in (target.repo, target.connection):
            with contextlib.suppress(Exception):  # what is lost may fail in any way when it is closed
                opened.close()

    def _watch_engine(self, view: View) -> None:
        """Follow the events of the engine that the environment declares, unless that is done."""
        self._on_look(view)
        files, watch = view.source.files, self._watch
        if watch and watch.url == files.engine and (watch.alive or time.monotonic() - watch.began < WATCH_AGAIN):
            return
        if watch:
            watch.close()
        if self._changed:
            self._watch = EngineWatch(files.engine, files.project, files.name, self._changed)

    def _open(self) -> EnvironmentTarget:
        if self._target is None:
            self._target = EnvironmentTarget(
                Repository.open(self._clone),
                self._environment,
                self._report,
                stopping=self._stopping,
                read_tip=last_fetched,
                hosts=self._hosts,
            )
        return self._target


def one_pass(
    environment: Reconcilable, resting: frozenset[str], on_look: Callable[[View], None] = lambda view: None
) -> PassResult:
    """Make one pass that leaves out what rests, and say in the words of the agent's loop what came of it."""
    backoff = Backoff(resting=resting)
    outcome = reconcile(environment, backoff=backoff, on_look=on_look)
    errors: dict[str, GitopsError] = _refused(outcome.view) | outcome.execution.errors
    if ENVIRONMENT in errors and not outcome.execution.blocked:
        errors[UPKEEP] = errors.pop(ENVIRONMENT)
    if outcome.record_error:
        errors[RECORD] = outcome.record_error
    if outcome.view.source.tip_error:
        errors[TIP] = outcome.view.source.tip_error
    advanced = [
        action
        for action in backoff.due(outcome.view.plan.actions)
        if not isinstance(action, plan.WriteRecords) and name_of(action) not in errors
    ]
    watching = any(isinstance(action, plan.Watch) for action in advanced)
    planned = outcome.view.plan
    openings = [s.waiting.until - planned.at for s in planned.statuses if s.waiting and s.waiting.until]
    opens_in = min((opening.total_seconds() for opening in openings), default=None)
    waits = outcome.view.waits_for_hosts
    return PassResult(errors, unfinished=bool(advanced), watching=watching, opens_in=opens_in, waits_for_hosts=waits)


def _refused(view: View) -> dict[str, GitopsError]:
    """What the plan says that a person has to look after, by deployment."""
    broken: dict[str, GitopsError] = {name: InputError(reason) for name, reason in view.plan.broken.items()}
    return broken | dict(view.removal_refusals)
