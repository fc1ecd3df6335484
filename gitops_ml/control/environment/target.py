"""One environment of one clone, and the engine that it is reconciled against: what the sync loop works on."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from gitops_ml.clients import background
from gitops_ml.clients.artifacts.source import ModelSource, read_declared
from gitops_ml.clients.engine.building.base_images import ensure_base
from gitops_ml.clients.engine.building.model_images import BASE_IMAGE, Builds
from gitops_ml.clients.engine.lock import Lock, break_lock, clear_dead
from gitops_ml.clients.files import recording
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.files.recording import Recording
from gitops_ml.clients.files.signers import require_signed_history
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE, gateway_name
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.boundary import log_unforeseen
from gitops_ml.control.connection import Connection
from gitops_ml.control.environment.engine_session import Artifacts, EngineSession
from gitops_ml.control.environment.hosts import Hosts
from gitops_ml.control.environment.last_good import view_last_good
from gitops_ml.control.environment.observe import generation_at, observe, plan_view, read_source
from gitops_ml.control.environment.old_images import remove_old_images
from gitops_ml.control.environment.preemption import TipWatch
from gitops_ml.control.environment.read_only import ReadOnlyEngineSession
from gitops_ml.control.environment.view import Options, Source, View
from gitops_ml.control.session import Session
from gitops_ml.core.generation import ENVIRONMENT, PROJECT
from gitops_ml.core.journal.state import Attempt, EnvironmentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.errors import EngineFailed, EngineUnavailable, GitopsError, InputError

COMPACT_AT = 60
"""Entries of the journal above which a pass that holds the lock sums them up."""
_log = logging.getLogger("gitops_ml")


@dataclass(frozen=True)
class EnvironmentTarget:
    """One environment of one clone.

    Args:
        environment: its name; its full name, where it has several hosts.
        report: receives each text that a person may want to see.
        connection: the owner of the environment's engine.
        stopping: set it to stop a pass at its next step, as Ctrl-C does.
        read_tip: gives the commit to reconcile to, after a fetch of so many seconds or as it was fetched last.
        hosts: shared by all targets of a process.
    """

    repo: Repository
    environment: str
    report: Callable[[str], None]
    connection: Connection = field(default_factory=Connection)
    stopping: threading.Event = field(default_factory=threading.Event)
    read_tip: Callable[[Repository, float], str] = Repository.fetch
    hosts: Hosts = field(default_factory=Hosts)

    # --- looking

    def look(self, options: Options, commit: str | None = None) -> View:
        """Fetch, read, observe and plan. Nothing that serves is changed, and no lock is taken.

        Args:
            commit: look at this commit, and fetch nothing.

        Raises:
            SourceUnavailable: the fetch failed. SourceError: the environment is not there, or the tip is an older one.
            EngineUnavailable, EngineMismatch: the engine does not answer, or is another one than recorded.
        """
        files = read_declared(self.repo, commit or commit_of(self.repo, options, self.read_tip), self.environment)
        with self._noting_whether_it_answers():
            engine = self.connection.to(files)
            # The engine is asked while versions and records are read: a pass with nothing to do takes a quarter less.
            snapshot = background.begin(lambda: observe(engine, files, self.repo.cache))
            source = read_source(self.repo, files)
            return self._plan(source, snapshot.result(), options, locked=False)

    def look_again(self, source: Source, options: Options, *, locked: bool) -> View:
        """Observe and plan anew, with a source that is read already. Raises as `look`."""
        with self._noting_whether_it_answers():
            snapshot = observe(self.connection.to(source.files), source.files, self.repo.cache)
            return self._plan(source, snapshot, options, locked=locked)

    @contextmanager
    def _noting_whether_it_answers(self) -> Iterator[None]:
        try:
            yield
        except EngineUnavailable:
            self.hosts.lost(self.environment)
            raise

    def _plan(self, source: Source, snapshot: Snapshot, options: Options, *, locked: bool) -> View:
        self.hosts.answered(source.files, snapshot.network)
        return plan_view(self.repo, source, snapshot, replace(options, away=self.hosts.away()), locked=locked)

    def look_back(self, options: Options, error: GitopsError) -> View:
        """Look at the commit that was applied last, since `error` forbids to follow the tip: see `view_last_good`."""
        return view_last_good(self.repo, self.environment, self.connection, options, error)

    def examine(self, view: View) -> ReadOnlyEngineSession:
        """Open a session for questions to what serves; no lock is taken. Raises `EngineFailed`."""
        engine = self.connection.to(view.source.files)
        base = background.begin(lambda: ensure_base(engine, BASE_IMAGE))
        background.result_within(base, math.inf, self._go_on)
        return ReadOnlyEngineSession(engine, view, ModelSource(self.repo), self.report, self.stopping)

    # --- acting

    @contextmanager
    def open(
        self, view: View, options: Options, actions: Sequence[plan.Action]
    ) -> Iterator[tuple[View, EngineSession]]:
        """Take the lock, observe again under it, and open a session.

        Base images come first: a pull may take minutes, and needs no lock. Builds begin under the lock, so that who
        waits for it begins none.

        Args:
            actions: what is going to be done: the builds among them are begun before the second look.

        Raises as `look`, and `LockHeld` when another pass holds the environment.
        """
        engine, files = self.connection.to(view.source.files), view.source.files
        models = ModelSource(self.repo)
        builds = Builds(engine, models, files.project, BASE_IMAGE)
        bases = (BASE_IMAGE, GATEWAY_IMAGE) if view.wanted else (GATEWAY_IMAGE,)
        pulls = background.begin(lambda: [ensure_base(engine, base) for base in bases])
        background.result_within(pulls, math.inf, self._go_on)
        with Lock.acquire(engine, files.project, files.name, GATEWAY_IMAGE) as lock:
            engine.finish_starts({PROJECT: files.project, ENVIRONMENT: files.name})
            for action in actions:
                if isinstance(action, plan.Build) and action.generation.pattern != "image":
                    builds.begin(action.generation)
            view = self.look_again(view.source, options, locked=True)
            session = EngineSession(engine, lock, view, Artifacts(models, builds), self.report, self.stopping)
            if options.rebuild_journal and not view.snapshot.gateway_runs:
                raise EngineFailed(
                    f"the journal of {files.full_name} cannot be rebuilt",
                    why="its gateway does not run",
                    fix=f"docker start {gateway_name(files.project, files.name)}",
                )
            long = len(view.snapshot.journal) > COMPACT_AT and view.snapshot.gateway_runs
            if options.rebuild_journal or (long and not view.source.as_served):
                session.compact(view.snapshot.journal)
            yield view, session
            if builds.any_begun and (removed := remove_old_images(self.repo, engine, view, session.state)):
                self.report(f"remove {len(removed)} old images of {files.project}")

    def _go_on(self) -> None:
        """Call this while waiting. Raises `KeyboardInterrupt` when the pass is being stopped."""
        if self.stopping.is_set():
            raise KeyboardInterrupt

    @contextmanager
    def watch_tip(self, view: View, session: Session) -> Iterator[Callable[[], Source]]:
        """Supersede rollouts that a newer commit no longer wants; the callable gives the newest source."""
        source = view.source
        if source.tip_error:
            yield lambda: source
            return

        def newest() -> Source:
            nonlocal source
            if watch.tip != source.commit:
                source = self._source_at(watch.tip, source)
            return source

        with TipWatch(self.repo.root, self.read_tip, view, session) as watch:
            yield newest

    def _source_at(self, commit: str, source: Source) -> Source:
        """The source at a newer commit; `source` where that cannot be read, or has other settings than the pass."""
        try:
            files = read_declared(self.repo, commit, self.environment)
            require_signed_history(self.repo, files.name, source.commit, commit)
            return read_source(self.repo, files) if files.environment == source.files.environment else source
        except Exception as error:
            _log.info("%s: the new tip cannot be read", self.environment, exc_info=error)
            return source

    def record_verdicts(self, view: View, state: EnvironmentState) -> Recording:
        """Record what the journal holds and Git does not."""
        base = view.snapshot.base_id or ""

        def same_generation(files: EnvironmentFiles, attempt: Attempt) -> bool:
            try:
                declared = generation_at(self.repo, files, attempt.deployment, base)
            except Exception as error:
                if not isinstance(error, GitopsError):
                    log_unforeseen(f"{self.environment}/{attempt.deployment}", error)
                return False
            return declared.fingerprint == attempt.generation.fingerprint

        return recording.record_verdicts(
            self.repo, self.environment, state, engine=view.snapshot.engine, same_generation=same_generation
        )

    def break_lock(self, view: View, lock: str) -> None:
        """Break the lock with this ID. Raises `InputError` when the lock is another one, or is gone."""
        files = view.source.files
        if not break_lock(self.connection.to(files), files.project, files.name, lock):
            raise InputError(
                f"{files.full_name} has no lock {lock}",
                why="it is gone, or another one was taken since",
                fix=f"gitops-ml sync {files.full_name}",
            )

    def clear_dead_lock(self, view: View) -> bool:
        """Remove the lock of a pass that was killed at its very end: no later pass has a reason to take the lock."""
        files = view.source.files
        engine = self.connection.to(files)
        if not view.snapshot.of_role("lock") or not clear_dead(engine, files.project, files.name):
            return False
        engine.finish_starts({PROJECT: files.project, ENVIRONMENT: files.name})
        return True

    def end_pass(self, *, engine_lost: bool) -> None:
        """Close what the pass has opened on the engine; a lost engine is connected anew by the next pass."""
        if engine_lost:
            self.hosts.lost(self.environment)
            self.connection.close()
        else:
            self.connection.end_pass()

    def monotonic(self) -> float:
        """The present in seconds, from any origin."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait between passes; at most until the target is to stop."""
        self.stopping.wait(seconds)


def commit_of(repo: Repository, options: Options, read_tip: Callable[[Repository, float], str]) -> str:
    """The tip, or the commit that was asked for. Tags are fetched for both."""
    tip = read_tip(repo, options.fetch_seconds)
    return repo.resolve(options.rev) if options.rev else tip
