"""A newer commit preempts a rollout that is under way, also while its candidate is started and checked.

Between passes the tip is read anew anyway. But one pass may wait for minutes for a model that does not come up, or for
a team's own checks; so meanwhile the tip is asked for in a thread of its own, with a reader of the clone of its own.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from gitops_ml.clients.files.environments import read_environment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.observe import Target, View, generation_at
from gitops_ml.core.planning import plan
from gitops_ml.errors import GitopsError

EVERY = 1.0
"""Seconds between two looks at the tip: a newer commit preempts within 5."""
AT_MOST = 2.0


class TipWatch:
    """Which rollouts of a plan the tip wants no more, for as long as the context lasts; nothing is asked where the plan
    has no candidate to wait for.
    """

    def __init__(self, target: Target, view: View) -> None:
        self._target, self._view = target, view
        self._under_way = {
            action.deployment: action.generation.fingerprint
            for action in view.plan.actions
            if isinstance(action, plan.Verify) and not action.attempt.boot
        }
        self._superseded: set[str] = set()
        self._over = threading.Event()
        self._looking = threading.Thread(target=self._look_again, daemon=True)

    def superseded(self, deployment: str) -> bool:
        """Whether a newer commit declares something else than the candidate that is being brought up."""
        return deployment in self._superseded

    def __enter__(self) -> Self:
        if self._under_way:
            self._looking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._under_way:
            self._looking.join(AT_MOST)  # two fetches at once would be in each other's way

    def _look_again(self) -> None:
        known = self._view.desired.commit
        with Repository.open(self._target.repo.root) as repo:
            while not self._over.wait(EVERY):
                try:
                    tip = self._target.tip(repo)
                    if tip != known:
                        self._compare(repo, tip)
                        known = tip
                except GitopsError:
                    continue  # what cannot be read preempts nothing; the next pass says what is wrong with it

    def _compare(self, repo: Repository, tip: str) -> None:
        declared = read_environment(repo, tip, self._target.environment)
        base = self._view.snapshot.base_id or ""
        for name, fingerprint in self._under_way.items():
            if name in declared.broken:
                continue
            if name in declared.deployments:
                now = generation_at(repo, declared, name, base)
                if now.fingerprint == fingerprint and declared.deployments[name].hold is None:
                    continue
            self._superseded.add(name)
