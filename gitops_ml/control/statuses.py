"""Tells a forge the verdicts as they come in, in a thread of its own: a slow forge never delays a pass."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.observation.view import View
from gitops_ml.core.pull_request.statuses import CommitStatus, commit_statuses

Key = TypeVar("Key")
Value = TypeVar("Value")
_MOST_WAITING, _MOST_KNOWN = 1_000, 5_000


class StatusReporter:
    """Sets commit statuses, each tried once.

    Args:
        set_status: sets one status. May raise `ForgeRefused` and `ForgeUnavailable`.
        say: receives what went wrong, each text once.
    """

    def __init__(self, set_status: Callable[[CommitStatus], None], say: Callable[[str], None]) -> None:
        self._set, self._say = set_status, say
        self._told: dict[tuple[str, str], CommitStatus] = {}
        self._waiting: queue.Queue[CommitStatus | None] = queue.Queue(_MOST_WAITING)
        self._said: dict[str, None] = {}
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def look(self, view: View) -> None:
        """Have the statuses of one look told. Neither waits nor raises."""
        with contextlib.suppress(Exception):
            desired = view.desired
            for status in commit_statuses(
                desired.name, desired.commit, view.state, view.plan.statuses, view.snapshot.at
            ):
                key = (status.commit, status.context)
                if self._told.get(key) != status:
                    self._waiting.put_nowait(status)
                    _remember(self._told, key, status)

    def close(self, patience: float = 30.0) -> None:
        """Wait until all of them are told, for at most `patience` seconds."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._say("warning: not every commit status was set: the forge is slow")

    def _work(self) -> None:
        while (status := self._waiting.get()) is not None:
            try:
                self._set(status)
            except Exception as raised:
                error = as_gitops_error(raised, status.context)
                text = f"warning: {status.context} has no commit status: {error}"
                if text not in self._said:
                    _remember(self._said, text, None)
                    self._say(text)


def _remember(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep a value, and forget the oldest ones: an agent runs for months."""
    known[key] = value
    while len(known) > _MOST_KNOWN:
        del known[next(iter(known))]
