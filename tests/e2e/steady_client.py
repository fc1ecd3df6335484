"""A client that asks one URL of a gateway again and again, and remembers when it got no answer."""

from __future__ import annotations

import http.client
import threading
import time


class SteadyClient(threading.Thread):
    """One request after the other, each on a connection of its own. It never retries.

    `failures` holds what each failed request met. `longest_gap` is the longest time in seconds between two answers.
    """

    def __init__(self, port: int, path: str, pause: float = 0.02) -> None:
        super().__init__(daemon=True)
        self._port, self._path, self._pause = port, path, pause
        self._ended = threading.Event()
        self.requests = 0
        self.failures: list[str] = []
        self.longest_gap = 0.0

    def run(self) -> None:
        answered = time.monotonic()
        while not self._ended.wait(self._pause):
            self.requests += 1
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    self.failures.append(f"HTTP {response.status}")
                    continue
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                continue
            finally:
                connection.close()
            self.longest_gap = max(self.longest_gap, time.monotonic() - answered)
            answered = time.monotonic()

    def end(self) -> None:
        """Stop asking, and wait for the last answer."""
        self._ended.set()
        self.join()
