"""Tells a forge the verdicts as they come in, in a thread of its own: a slow forge never delays a pass."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from typing import TypeVar

import msgspec

from gitops_ml.control.boundary import as_gitops_error
from gitops_ml.control.environment.view import View
from gitops_ml.core.pull_request.deployments import ForgeDeployment, forge_deployments
from gitops_ml.core.pull_request.statuses import CommitStatus, commit_statuses
from gitops_ml.page.names import deployment_page

Key = TypeVar("Key")
Value = TypeVar("Value")
_MOST_WAITING, _MOST_KNOWN = 1_000, 5_000


class StatusReporter:
    """Sets commit statuses and shows deployments, each tried once.

    Args:
        set_status, show_deployment: tell one of them. May raise `ForgeRefused` and `ForgeUnavailable`.
        say: receives what went wrong, each text once.
        public_url: the address of the agent's page for people, without `/` at its end; empty if it has none.
    """

    def __init__(
        self,
        set_status: Callable[[CommitStatus], None],
        say: Callable[[str], None],
        show_deployment: Callable[[ForgeDeployment], None] = lambda deployment: None,
        public_url: str = "",
    ) -> None:
        self._public_url = public_url
        self._set, self._say, self._show = set_status, say, show_deployment
        self._told: dict[tuple[str, str], CommitStatus | ForgeDeployment] = {}
        self._waiting: queue.Queue[CommitStatus | ForgeDeployment | None] = queue.Queue(_MOST_WAITING)
        self._said: dict[str, None] = {}
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def tell(self, view: View) -> None:
        """Have the statuses and deployments of a view told. Neither waits nor raises."""
        with contextlib.suppress(Exception):
            name, tip, statuses, now = view.desired.full_name, view.desired.commit, view.plan.statuses, view.snapshot.at
            news: list[CommitStatus | ForgeDeployment] = [*commit_statuses(name, tip, view.state, statuses, now)]
            news += forge_deployments(view.plan, view.state)
            for one in map(self._with_page, news):
                key = (one.commit, _subject(one))
                if self._told.get(key) != one:
                    self._waiting.put_nowait(one)
                    _remember(self._told, key, one)

    def _with_page(self, news: CommitStatus | ForgeDeployment) -> CommitStatus | ForgeDeployment:
        if not self._public_url:
            return news
        environment, deployment = _subject(news).split("/")[-2:]
        page = f"{self._public_url}/{deployment_page(environment, deployment)}"
        return msgspec.structs.replace(news, page=page)

    def close(self, patience: float = 30.0) -> None:
        """Wait until all of them are told, for at most `patience` seconds."""
        with contextlib.suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(patience)
        if self._thread.is_alive():
            self._say("warning: not every commit status was set: the forge is slow")

    def _work(self) -> None:
        while (news := self._waiting.get()) is not None:
            try:
                if isinstance(news, CommitStatus):
                    self._set(news)
                else:
                    self._show(news)
            except Exception as raised:
                kind = "commit status" if isinstance(news, CommitStatus) else "deployment"
                error = as_gitops_error(raised, _subject(news))
                text = f"warning: {_subject(news)} has no {kind}: {error}"
                if text not in self._said:
                    _remember(self._said, text, None)
                    self._say(text)


def _subject(news: CommitStatus | ForgeDeployment) -> str:
    return news.context if isinstance(news, CommitStatus) else news.place


def _remember(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Keep a value, and forget the oldest ones: an agent runs for months."""
    known[key] = value
    while len(known) > _MOST_KNOWN:
        del known[next(iter(known))]
