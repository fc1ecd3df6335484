"""A newer commit preempts a rollout that is under way, also while its candidate is started and checked.

Between passes the tip is fetched anyway. But one pass may wait for minutes for a model that does not come up, or for a
team's own checks; so meanwhile the tip is fetched beside it, by a reader of the clone of its own.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from types import TracebackType
from typing import Self

from gitops_ml.clients import background
from gitops_ml.clients.files.environments import EnvironmentFiles, read_environment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.observe import generation_at
from gitops_ml.control.environment.view import View
from gitops_ml.control.session import Session
from gitops_ml.errors import GitopsError

EVERY = 1.0
"""Seconds between two fetches of the tip: a newer commit preempts within 5."""
PATIENCE = 20.0
"""Seconds that one fetch may take."""
AT_MOST = 2.0
"""Seconds to wait for the last fetch: two at once would get in each other's way."""
_log = logging.getLogger("gitops_ml")


class TipWatch:
    """Tracks which rollouts a newer commit has superseded while the context is open.

    Nothing is fetched while no candidate is brought up.

    Args:
        clone: where the clone is.
        read_tip: gives its tip, within so many seconds.
        session: gives the open rollouts, also those that begin later, and is told which of them are superseded.
    """

    def __init__(self, clone: Path, read_tip: Callable[[Repository, float], str], view: View, session: Session) -> None:
        self._read_tip = read_tip
        self._clone, self._view, self._session = clone, view, session
        self._closed = threading.Event()
        self._watching: Future[None] | None = None
        self.tip = view.source.commit
        """The newest commit that was fetched."""

    def __enter__(self) -> Self:
        self._watching = background.begin(self._watch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if self._watching:
            wait([self._watching], timeout=AT_MOST)

    def _candidates(self) -> dict[str, str]:
        """The candidates that no user was sent to yet: fingerprints by deployment."""
        attempts = {name: state.open for name, state in self._session.state.deployments.items()}
        return {
            name: attempt.generation.fingerprint
            for name, attempt in attempts.items()
            if attempt and not attempt.boot and attempt.routed is None and attempt.verdict is None
        }

    def _watch(self) -> None:
        while not self._closed.wait(EVERY):
            if self._candidates():
                break
        else:
            return
        with Repository.open(self._clone) as repo:
            while not self._closed.wait(EVERY):
                try:
                    if not self._candidates():
                        continue
                    tip = self._read_tip(repo, PATIENCE)
                    if tip != self.tip:
                        self._compare(repo, tip)
                        self.tip = tip
                except GitopsError:
                    continue  # a tip that cannot be read preempts nothing; the next pass says what is wrong with it
                except Exception as error:
                    _log.warning("the tip could not be read", exc_info=error)

    def _compare(self, repo: Repository, tip: str) -> None:
        files = read_environment(repo, tip, self._view.source.files.full_name)
        for name, fingerprint in self._candidates().items():
            try:
                if not self._still_wanted(repo, files, name, fingerprint):
                    self._session.supersede(name, fingerprint)
            except Exception as error:
                _log.info("%s at the tip could not be read", name, exc_info=error)

    def _still_wanted(self, repo: Repository, files: EnvironmentFiles, name: str, fingerprint: str) -> bool:
        if name in files.broken:
            return True
        if name not in files.deployments or files.deployments[name].hold is not None:
            return False
        declared = generation_at(repo, files, name, self._view.snapshot.base_id or "")
        return declared.fingerprint == fingerprint
