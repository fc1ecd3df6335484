"""The agent as a process, for tests that look at it from outside."""

from __future__ import annotations

import signal
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.host import Host
from tests.e2e.workshop import Workshop

WITHIN = 60.0  # seconds; longer than any rollout here takes


def until(holds: Callable[[], Any], what: str, within: float = WITHIN) -> float:
    """Wait until `holds` returns something true, and return how many seconds that took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within, f"not within {within:g} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began


class RunningAgent:
    """An agent process whose lines are read as they come."""

    def __init__(self, workshop: Workshop, *options: str) -> None:
        self.process = workshop.begin("agent", "--interval", "2s", *options)
        self.lines: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        self.lines += (line.rstrip("\n") for line in self.process.stderr)

    def says(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def asked(self, path: str) -> tuple[int, str]:
        """Ask an agent that was started with `--listen`; returns status and body."""
        address = next(line.removeprefix("listen ") for line in self.lines if line.startswith("listen "))
        try:
            with urllib.request.urlopen(f"{address}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def stop(self) -> float:
        """Send SIGTERM, and return how many seconds the process took to end."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(WITHIN)
        return time.monotonic() - began


@contextmanager
def running(workshop: Workshop, *options: str) -> Iterator[RunningAgent]:
    """An agent that is killed in the end, and whose lines are shown by a test that fails."""
    agent = RunningAgent(workshop, *options)
    try:
        yield agent
    finally:
        agent.process.kill()
        print("\n".join(agent.lines))


def serves(workshop: Workshop, version: str, environment: str = "dev") -> Callable[[], bool]:
    def asked() -> bool:
        try:
            return workshop.serving(environment) == version
        except OSError:  # there is no gateway yet
            return False

    return asked


def remove_replica(host: Host) -> None:
    host.api.remove_container(host.replicas()[0]["Id"], force=True)
