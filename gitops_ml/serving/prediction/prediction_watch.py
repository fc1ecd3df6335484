"""Ends the process when one prediction takes too long, since no thread can be stopped from outside.

A prediction that hangs holds up every later one, while health goes on to answer. The engine starts the process again.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger("gitops_ml.serving")

LAST_WORDS_SECONDS = 0.5
"""For the answers to the requests that waited."""
EXIT_CODE = 70
"""`EX_SOFTWARE` of sysexits.h."""


class PredictionWatch:
    """Watches the predictions of this process, of which each thread makes one at a time.

    Args:
        seconds: how long a prediction may take.
        overrun: called in the watch's thread before the process ends.
    """

    def __init__(self, seconds: float, overrun: Callable[[], None]) -> None:
        self._seconds = seconds
        self._overrun = overrun
        self._started: dict[int, float] = {}

    def start(self) -> None:
        """Begin to watch."""
        threading.Thread(target=self._run, name="prediction-watch", daemon=True).start()

    @contextmanager
    def prediction(self) -> Iterator[None]:
        """Around each prediction, in its thread."""
        thread = threading.get_ident()
        self._started[thread] = time.monotonic()
        try:
            yield
        finally:
            del self._started[thread]

    def _run(self) -> None:
        while True:
            time.sleep(min(1.0, self._seconds / 4))
            now = time.monotonic()
            for thread, started in list(self._started.items()):
                if now - started > self._seconds:
                    self._end(thread)

    def _end(self, thread: int) -> None:
        frame = sys._current_frames().get(thread)
        stack = "".join(traceback.format_stack(frame)[-8:]) if frame else ""
        log.critical("a prediction takes longer than %g s; the process ends. It was at:\n%s", self._seconds, stack)
        self._overrun()
        time.sleep(LAST_WORDS_SECONDS)
        os._exit(EXIT_CODE)
