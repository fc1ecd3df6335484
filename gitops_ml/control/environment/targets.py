"""The targets of a command: the environments that it names, each on all of its hosts; and work on several at once."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from functools import partial
from itertools import groupby
from typing import Protocol, TypeVar

from gitops_ml.clients import background
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.reconnect import Reconnection
from gitops_ml.clients.files.environments import (
    ROOT,
    environment_names,
    full_names,
    how_to_add,
    read_project,
    require_known_source,
    require_own_port,
)
from gitops_ml.clients.gateway.port import require_free_port
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.hosts import Hosts
from gitops_ml.control.environment.target import EnvironmentTarget, commit_of
from gitops_ml.control.environment.view import Options, View
from gitops_ml.core.declaration.hosts import split_full_name
from gitops_ml.core.generation import ENVIRONMENT, PROJECT
from gitops_ml.errors import EngineUnavailable, GitopsError, SourceError, SourceUnavailable


class Stoppable(Protocol):
    """One environment, or one of its hosts, whose passes can be stopped."""

    @property
    def stopping(self) -> threading.Event: ...


Result = TypeVar("Result")
Worked = TypeVar("Worked", bound=Stoppable)
AT_ONCE = 20
"""Hosts that are worked on at once."""
FETCH_EVERY = 1.0
"""Seconds between two fetches for all hosts together: many hosts are no more fetches than one."""
STOP_SECONDS = 10.0


def list_targets(
    repo: Repository,
    environments: Sequence[str],
    report: Callable[[str], None],
    options: Options,
    reconnections: Mapping[str, Reconnection] | None = None,
) -> list[EnvironmentTarget]:
    """The named environments as targets, one for each of their hosts; all that the tip declares where none is named.

    `reconnections`: see `reconnect.begin`. Raises `SourceError` when nothing is declared.
    """
    try:
        commit = commit_of(repo, options, lambda repo, _: repo.fetch_ahead())
    except GitopsError:
        if not environments:
            raise
        names = list(environments)  # each of them meets the same error
    else:
        names = full_names(repo, commit, environments or _all(repo, commit))
    begun = reconnections or {}
    fetch, hosts, stopping = SharedFetch(), Hosts(), threading.Event()

    def target(name: str) -> EnvironmentTarget:
        connection = Connection(begun.get(name))
        if not split_full_name(name)[1]:
            return EnvironmentTarget(repo, name, report, connection, stopping)
        return EnvironmentTarget(Repository.open(repo.root), name, report, connection, stopping, fetch, hosts)

    return [target(name) for name in dict.fromkeys(names)]


def _all(repo: Repository, commit: str) -> list[str]:
    names = environment_names(repo, commit)
    if not names:
        raise SourceError(
            f"no environment is declared in commit {commit[:12]}",
            why="there is no environments/*/environment.yaml; nothing is changed on any host",
            fix=how_to_add(repo, f"{ROOT}/project.yaml")
            if repo.entry(commit, f"{ROOT}/project.yaml") is None
            else f"restore the folders below {ROOT}/",
        )
    return names


class SharedFetch:
    """Fetches a clone for several hosts, each with a reader of the clone of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: Future[str] | None = None
        self._began = -math.inf

    def __call__(self, repo: Repository, seconds: float) -> str:
        """The tip, by a fetch that began at most `FETCH_EVERY` seconds ago, or that is still under way.

        Raises as `Repository.fetch`, after `seconds` at most.
        """
        with self._lock:
            ended = self._last is None or self._last.done()
            if ended and time.monotonic() - self._began > FETCH_EVERY:
                self._last, self._began = background.begin(lambda: repo.fetch(seconds)), time.monotonic()
            last = self._last
        assert last is not None
        try:
            background.result_within(last, seconds)
        except TimeoutError as error:
            raise SourceUnavailable(
                f"the remote {repo.remote} could not be fetched",
                why=f"the fetch for all hosts takes longer than {seconds:g} s",
                fix=f"git -C {repo.root} fetch {repo.remote} {repo.branch}",
            ) from error
        repo.forget()
        return repo.tip()


def by_environment(targets: Sequence[EnvironmentTarget]) -> list[list[EnvironmentTarget]]:
    """The targets, with the hosts of one environment together."""
    return [list(hosts) for _, hosts in groupby(targets, lambda target: split_full_name(target.environment)[0])]


def side_by_side(
    targets: Sequence[Worked], work: Callable[[Worked], Result], at_once: int = AT_ONCE
) -> list[Result | Exception]:
    """Work on the hosts of one environment, `at_once` of them at a time. An error of one keeps no other from its turn.

    Raises `KeyboardInterrupt` in the main thread, once the others have stopped.
    """
    free = threading.BoundedSemaphore(at_once)

    def attempt(target: Worked) -> Result | Exception:
        with free:
            try:
                return work(target)
            except Exception as error:
                return error

    if len(targets) == 1:
        return [attempt(targets[0])]
    working = [background.begin(partial(attempt, target)) for target in targets]
    try:
        return [result.result() for result in working]
    except KeyboardInterrupt:
        for target in targets:
            target.stopping.set()
        wait(working, STOP_SECONDS)
        raise


def preview_all(targets: Sequence[EnvironmentTarget], options: Options) -> list[View | Exception]:
    """Preview the hosts of one environment: see `preview`."""
    previews = side_by_side(targets, lambda target: preview(target, options))
    if not any(isinstance(each, EngineUnavailable) for each in previews):
        return previews
    # Which hosts are away is known now: nothing waits for them.
    again = [n for n, each in enumerate(previews) if isinstance(each, View) and each.waits_for_hosts]
    for number, each in zip(
        again, side_by_side([targets[n] for n in again], lambda t: preview(t, options)), strict=True
    ):
        previews[number] = each
    return previews


def preview(target: EnvironmentTarget, options: Options) -> View:
    """Look for people who read a plan, and refuse also what a pass puts up with: a port that another environment or
    container takes, and what only a later promotion would stumble over.

    Raises as `EnvironmentTarget.look`, and `InputError`.
    """
    view = target.look(options)
    desired = view.desired
    require_own_port(target.repo, view.source.files)
    engine, gateway = target.connection.to(view.source.files), desired.environment.gateway
    require_free_port(engine, desired.project, desired.name, gateway)
    if desired.environment.promotion:
        require_known_source(desired.name, desired.environment, environment_names(target.repo, desired.commit))
    return view


def undeclared(targets: Sequence[EnvironmentTarget]) -> list[GitopsError]:
    """Containers of this project in environments that are no longer declared, on the engines of these targets.

    They are left alone: a folder may have vanished by mistake. An engine that cannot be asked is an error among the
    others.
    """
    engines = {t.connection.engine.url: (t, t.connection.engine) for t in targets if t.connection.engine}
    if not engines:
        return []
    try:
        project = read_project(targets[0].repo, targets[0].repo.tip()).name
    except GitopsError as error:
        return [error]
    asked = [(target, background.begin(partial(_environments_on, e, project))) for target, e in engines.values()]
    declared = {split_full_name(target.environment)[0] for target in targets}
    errors: dict[str, GitopsError] = {}
    for target, answer in asked:
        try:
            errors |= {name: _undeclared(project, name) for name in answer.result() - declared}
        except Exception as error:
            errors[target.environment] = as_gitops_error(error, target.environment)
    return [errors[name] for name in sorted(errors)]


def _environments_on(engine: Engine, project: str) -> set[str]:
    """The environments that have containers of a project on an engine."""
    return {listed["Labels"].get(ENVIRONMENT, "") for listed in engine.list_containers({PROJECT: project})}


def _undeclared(project: str, name: str) -> SourceError:
    return SourceError(
        f"{project} runs in {name}, which is not declared any more",
        why=f"environments/{name}/environment.yaml is gone; nothing there is changed",
        fix=f"restore environments/{name}, or take away what it runs: docker rm -f $(docker ps -aq "
        f"--filter label={PROJECT}={project} --filter label={ENVIRONMENT}={name})",
    )
