"""The agent's real world: the machine's clock, and a thread for each job."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

from gitops_ml.clients import background

Value = TypeVar("Value")


class Threads:
    """Runs jobs in daemon threads: one that hangs does not keep the process from ending."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def now(self) -> float:
        """Seconds of the monotonic clock."""
        return time.monotonic()

    def start(self, job: Callable[[], Value], ended: Callable[[Future[Value]], None]) -> None:
        """Run `job` in a thread of its own. When it has ended, a later `wait` calls `ended` with its result."""
        future: Future[Value]
        try:
            future = background.begin(job)
        except RuntimeError as error:  # the system has no thread left; that is the job's trouble, not the caller's
            future = Future()
            future.set_exception(error)
        future.add_done_callback(lambda ended_job: self._calls.put(partial(ended, ended_job)))

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or when a job has ended and its `ended` was called, or at `wake` and `call`."""
        try:
            call = self._calls.get(timeout=seconds)
        except queue.Empty:
            return
        call()

    def call(self, work: Callable[[], None]) -> None:
        """Have the current or the next `wait` call `work`; may be called from any thread."""
        self._calls.put(work)

    def wake(self) -> None:
        """End the current or the next `wait`. Reentrant, so a signal handler may call it."""
        self.call(lambda: None)
