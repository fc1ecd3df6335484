"""uvicorn's connections, bounded in number and in how long they may stay without a request.

uvicorn itself times out only a connection that is silent after an answer.
"""

from __future__ import annotations

import asyncio
import time
from typing import cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 30.0
"""How long the head of a request may take to arrive, and the end of an answer to be taken."""
WRITE_BUFFER = 64 << 10
"""Bytes of an answer that wait for one client."""
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(H11Protocol):
    """One connection. `most` are open at once."""

    most = 1000
    late: list[BoundedProtocol]
    """Those that came while `most` were open, until the next look at all."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=WRITE_BUFFER)
        self._idle_since: float = time.monotonic()
        self._waits_since: float | None = self._idle_since
        if len(self.connections) > self.most:
            if not self.late:
                # After what all new connections have sent was read: none that has sent a request is taken for idle.
                self.loop.call_soon(self.loop.call_soon, self._keep_within_limit)
            self.late.append(self)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._idle:
            self._waits_since = None
        elif self._waits_since is None:
            self._waits_since = time.monotonic()

    def on_response_complete(self) -> None:
        self._idle_since = time.monotonic()
        super().on_response_complete()

    def sweep(self, now: float) -> None:
        """End the connection if a request has begun and does not come, or if its client does not take the answer."""
        if self._waits_since is None and self.transport.is_closing():
            self._waits_since = now
        if self._waits_since is not None and now - self._waits_since > HEAD_SECONDS:
            self.transport.abort()

    @property
    def _idle(self) -> bool:
        # uvicorn's type hides that there is no cycle before the first request.
        return self.cycle is None or self.cycle.response_complete  # type: ignore[redundant-expr]

    def _keep_within_limit(self) -> None:
        """End what is above the limit: connections that have been idle for longest, then the latest."""
        late = [each for each in self.late if not each.transport.is_closing()]
        self.late.clear()
        connections = [cast(BoundedProtocol, each) for each in self.connections if not each.transport.is_closing()]
        idle = sorted((each for each in connections if each._idle), key=lambda each: each._idle_since)
        busy = [each for each in reversed(late) if not each._idle]
        for connection in [*idle, *busy][: max(0, len(connections) - self.most)]:
            if connection.cycle is None or not connection.cycle.response_started:  # type: ignore[redundant-expr]
                connection.transport.write(_FULL)
                connection.transport.close()
            else:
                connection.transport.abort()


def bounded(most: int) -> type[BoundedProtocol]:
    """The protocol class for uvicorn, with at most `most` connections."""
    return type("BoundedProtocol", (BoundedProtocol,), {"most": most, "late": []})
