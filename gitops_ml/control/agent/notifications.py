"""Tells the receivers of notifications what an agent's board shows.

One thread reads the board. Each receiver has a thread of its own, so one that is slow or away delays no other.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from functools import partial
from typing import Protocol

from gitops_ml.clients import background
from gitops_ml.clients.receivers import Kind
from gitops_ml.control.agent.notices import Notice, Notices
from gitops_ml.control.agent.status_board import StatusBoard

TURN = 1.0
"""Seconds between two looks at the board."""
RETRIES = (1.0, 5.0, 30.0, 120.0, 600.0)
"""Seconds until a message that was not taken is sent again; then it is dropped. Reminders follow anyway."""
STOP_SECONDS = 5.0
_MOST_WAITING = 100
_log = logging.getLogger("gitops_ml.agent")


class Sender(Protocol):
    """Where messages go; see `clients.receivers.Receiver`."""

    name: str

    def send(self, kind: Kind, title: str, body: str) -> str: ...


class Notifications:
    """Sends what is due to every receiver.

    Args:
        report: receives one line when a receiver takes no messages, and one when it does again.
        remind: see `Notices`.
    """

    def __init__(
        self, receivers: Sequence[Sender], board: StatusBoard, remind: float, report: Callable[[str], None]
    ) -> None:
        self._board, self._notices, self._report = board, Notices(remind), report
        self._mailboxes = [(receiver, queue.Queue[Notice | None](_MOST_WAITING)) for receiver in receivers]
        self._stopping = threading.Event()
        self._threads: list[Future[None]] = []

    def start(self) -> None:
        """Begin to send, in threads."""
        self._threads = [background.begin(partial(self._deliver, *each)) for each in self._mailboxes]
        background.begin(self._run)

    def close(self) -> None:
        """Send what waits, for a few seconds; a message that a receiver did not take is not sent again."""
        self._stopping.set()
        for _, mailbox in self._mailboxes:
            with contextlib.suppress(queue.Full):
                mailbox.put_nowait(None)
        wait(self._threads, timeout=STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(TURN):
            try:
                notices = self._notices.turn(self._board.read(), time.monotonic())
            except Exception:
                _log.exception("unforeseen in notifications")
                continue
            for notice in notices:
                for _, mailbox in self._mailboxes:
                    with contextlib.suppress(queue.Full):
                        mailbox.put_nowait(notice)

    def _deliver(self, receiver: Sender, mailbox: queue.Queue[Notice | None]) -> None:
        failing = ""
        while (notice := mailbox.get()) is not None:
            for pause in (*RETRIES, None):
                why = receiver.send(notice.kind, notice.title, notice.body)
                if why and not failing:
                    self._report(f"error notify: {receiver.name} takes no messages: {why}")
                if failing and not why:
                    self._report(f"recovered notify: {receiver.name} takes messages again")
                failing = why
                if not why or pause is None or self._stopping.wait(pause):
                    break
