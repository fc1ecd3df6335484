"""Work that is begun before its result is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def begin(work: Callable[[], Result]) -> Future[Result]:
    """What `work` will have given or raised. Its thread is a daemon: a process that ends early does not wait for it."""
    begun: Future[Result] = Future()

    def run() -> None:
        try:
            begun.set_result(work())
        except BaseException as error:
            begun.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return begun
