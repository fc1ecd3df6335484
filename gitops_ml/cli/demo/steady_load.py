"""An open-loop load on one address: requests are sent by the clock, however slow the answers are.

A closed loop waits for each answer and so hides what a slow or missing server costs (coordinated omission, Tene 2013).
Here each request has its own due time, and its latency counts from then. Failed requests are not retried.
"""

from __future__ import annotations

import http.client
import queue
import threading
import time
from dataclasses import dataclass, field
from types import TracebackType
from urllib.parse import urlsplit


@dataclass
class Report:
    """How the requests ended. `latencies` are seconds since each request's due time; `versions` counts answers."""

    sent: int = 0
    failed: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """A quantile of the latencies, in seconds; NaN if there are none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class SteadyLoad:
    """Posts `body` to `url` at `rate` requests a second, from entering the context until leaving it.

    Args:
        rate: requests a second.
        workers: how many requests can be in flight. Must exceed rate times the longest latency.
        fresh: after how many requests a worker opens a new connection; 0 never, 1 for each request.
        marker: the key in the JSON of the answer whose values `Report.versions` counts.
    """

    def __init__(
        self,
        url: str,
        body: bytes,
        *,
        rate: float,
        workers: int = 48,
        fresh: int = 10,
        marker: bytes = b"model_version",
    ) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port or 80, parts.path
        self._body, self._rate, self._fresh, self._marker = body, rate, fresh, marker
        self._due: queue.Queue[float | None] = queue.Queue()
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.report = Report()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(workers)]
        self._clock = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> SteadyLoad:
        for thread in (*self._threads, self._clock):
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._clock.join()
        for _ in self._threads:
            self._due.put(None)
        for thread in self._threads:
            thread.join(timeout=60)

    def _tick(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            due += 1 / self._rate
            wait = due - time.monotonic()
            if wait > 0:
                self._stop.wait(wait)
            self._due.put(due)

    def _work(self) -> None:
        connection: http.client.HTTPConnection | None = None
        number = 0
        while (due := self._due.get()) is not None:
            number += 1
            if connection is None or (self._fresh and number % self._fresh == 0):
                if connection:
                    connection.close()
                connection = http.client.HTTPConnection(self._host, self._port, timeout=60)
            try:
                connection.request("POST", self._path, self._body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                content = answer.read()
                self._count(due, "" if answer.status == 200 else f"HTTP {answer.status}", content)
            except (OSError, http.client.HTTPException) as error:
                self._count(due, type(error).__name__, b"")
                connection.close()
                connection = None
        if connection:
            connection.close()

    def _count(self, due: float, error: str, content: bytes) -> None:
        with self._lock:
            self.report.sent += 1
            self.report.latencies.append(time.monotonic() - due)
            if error:
                self.report.failed += 1
                self.report.errors[error] = self.report.errors.get(error, 0) + 1
            else:
                version = _value_of(content, self._marker)
                self.report.versions[version] = self.report.versions.get(version, 0) + 1


def _value_of(content: bytes, key: bytes) -> str:
    _, _, rest = content.partition(b'"' + key + b'":"')
    return rest.partition(b'"')[0].decode(errors="replace") or "?"
