"""A simulated session whose work is done in threads, and waiting for what they do."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from gitops_ml.clients import background
from tests.unit.simulated_host import Host
from tests.unit.simulated_session import SimulatedSession

Result = TypeVar("Result")


class ThreadedSession(SimulatedSession):
    """Work is done in threads, as on an engine."""

    def begin(self, work: Callable[[], Result]) -> Future[Result]:
        return background.begin(work)


def until(host: Host, reached: Callable[[], object]) -> bool:
    """Let the host's time pass until `reached` holds. False if it does not within 20 seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        host.seconds += 0.5
        if reached():
            return True
        time.sleep(0.02)
    return False
