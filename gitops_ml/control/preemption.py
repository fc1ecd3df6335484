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
from gitops_ml.control.observe import generation_at
from gitops_ml.control.view import View
from gitops_ml.core.planning import plan
from gitops_ml.errors import GitopsError

EVERY = 1.0
"""Seconds between two fetches of the tip: a newer commit preempts within 5."""
AT_MOST = 2.0
"""Seconds to wait for the last fetch: two at once would get in each other's way."""
_log = logging.getLogger("gitops_ml")


class TipWatch:
    """Tracks which rollouts a newer commit has superseded while the context is open.

    Idle when the plan has no candidate to verify.

    Args:
        clone: where the clone is.
        read_tip: gives its tip.
        supersede: called with each deployment and the fingerprint of its candidate that the tip no longer declares.
    """

    def __init__(
        self, clone: Path, read_tip: Callable[[Repository], str], view: View, supersede: Callable[[str, str], None]
    ) -> None:
        self._read_tip = read_tip
        self._clone, self._view, self._supersede = clone, view, supersede
        self._candidates = {
            action.deployment: action.generation.fingerprint
            for action in view.plan.actions
            if isinstance(action, plan.Verify) and not action.attempt.boot
        }
        self._closed = threading.Event()
        self._watching: Future[None] | None = None
        self.tip = view.source.commit
        """The newest commit that was fetched."""

    def __enter__(self) -> Self:
        if self._candidates:
            self._watching = background.begin(self._watch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        if self._watching:
            wait([self._watching], timeout=AT_MOST)

    def _watch(self) -> None:
        with Repository.open(self._clone) as repo:
            while not self._closed.wait(EVERY):
                try:
                    tip = self._read_tip(repo)
                    if tip != self.tip:
                        self._compare(repo, tip)
                        self.tip = tip
                except GitopsError:
                    continue  # a tip that cannot be read preempts nothing; the next pass says what is wrong with it
                except Exception as error:
                    _log.warning("the tip could not be read", exc_info=error)

    def _compare(self, repo: Repository, tip: str) -> None:
        files = read_environment(repo, tip, self._view.source.files.name)
        for name, fingerprint in self._candidates.items():
            try:
                if not self._still_wanted(repo, files, name, fingerprint):
                    self._supersede(name, fingerprint)
            except Exception as error:
                _log.info("%s at the tip could not be read", name, exc_info=error)

    def _still_wanted(self, repo: Repository, files: EnvironmentFiles, name: str, fingerprint: str) -> bool:
        if name in files.broken:
            return True
        if name not in files.deployments or files.deployments[name].hold is not None:
            return False
        declared = generation_at(repo, files, name, self._view.snapshot.base_id or "")
        return declared.fingerprint == fingerprint
