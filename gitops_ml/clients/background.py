"""Work that begins before its result is wanted, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

Result = TypeVar("Result")
_LOOK_EVERY = 0.25


def begin(work: Callable[[], Result]) -> Future[Result]:
    """Begin `work`, and return the future of its result. The thread is a daemon: a process that ends does not wait."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


def result_within(future: Future[Result], seconds: float, go_on: Callable[[], None] = lambda: None) -> Result:
    """Wait for a result. The work is left running when the time is over.

    Args:
        go_on: called again and again; an exception of it ends the waiting.

    Raises as the work does, and `TimeoutError` after so many seconds.
    """
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0 and not wait((future,), timeout=min(left, _LOOK_EVERY)).done:
        go_on()
    return future.result(timeout=0)
