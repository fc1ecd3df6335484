"""Users' requests as the gateway logged them, streamed over the engine's API.

The gateway writes one line of JSON for each request, with the service that answered it, which names the generation.
Nothing is kept here but the line at hand: what is counted goes into the journal with the time of its last line, and
the next reader goes on from there. Probes do not pass through the gateway, so they are not counted; nor are requests
that pin a generation, since nobody dealt them out: one client could stop a candidate, or hide it, by itself.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from datetime import datetime

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.planning.route import is_users_router, service_generation

CLIENT_CLOSED = 499
_WAITING = 10_000
_TAIL, _TAIL_PER_SECOND = 5_000, 2_000
"""Lines at the log's end that are looked at: these, and as many more for each second since the last one that was read.

So a pass reads what is new, not what five log files hold: a pass that was over before it had read that never came to
anything new. With more requests a second than this some go uncounted, of both arms alike, and are told as lost.
"""
_TICK = 0.05


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request of a user: `ended` in epoch seconds, `seconds` it took, `stamp` the log's own time of the line."""

    generation: str
    status: int
    seconds: float
    ended: float
    stamp: str

    def bad(self, slow: float | None) -> bool:
        """5xx, given up by the user, or slower than `slow` seconds."""
        return self.status >= 500 or self.status == CLIENT_CLOSED or (slow is not None and self.seconds > slow)


class _Line(msgspec.Struct):
    """Of a line of the gateway's access log, what is of interest. `duration` in nanoseconds."""

    router: str = msgspec.field(name="RouterName", default="")
    service: str = msgspec.field(name="ServiceName", default="")
    status: int = msgspec.field(name="DownstreamStatus", default=0)
    duration: int = msgspec.field(name="Duration", default=0)


_decoder = msgspec.json.Decoder(_Line)


class AccessLog:
    """The requests of one deployment in the gateway's log, from one place in it on.

    `after` is the `stamp` of the last request that was read, or any time in ISO 8601. `lost` is true once it is seen
    that the line of that stamp is no longer there: the log was rotated, or the gateway made anew, before all was read.
    """

    def __init__(self, engine: Engine, gateway: str, deployment: str, after: str) -> None:
        self._engine, self._gateway, self._deployment = engine, gateway, deployment
        self._after = after
        self.lost = False

    def requests(self, seconds: float) -> Iterator[Request]:
        """In the order in which they ended, for at most `seconds` from now. Ends early when the gateway does."""
        lines: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        since = _epoch(self._after)
        away = max(0.0, time.time() - since)
        stream = self._engine.follow(self._gateway, since, tail=round(_TAIL + _TAIL_PER_SECOND * away))
        threading.Thread(target=_read, args=(stream, lines), daemon=True).start()
        deadline = time.monotonic() + seconds
        # Only the log's own stamps end in Z; the line that bears one has to be the first that comes back.
        anchor = self._after if self._after.endswith("Z") else ""
        try:
            while (left := deadline - time.monotonic()) > 0:
                try:
                    line = lines.get(timeout=min(left, _TICK))
                except queue.Empty:
                    continue
                if line is None:
                    return
                if anchor and not line.startswith(b"20"):
                    continue
                if anchor:
                    self.lost = line.partition(b" ")[0].decode() > anchor
                    anchor = ""
                found = _request(line, self._deployment)
                if found and found.stamp > self._after:
                    yield found
        finally:
            stream.close()


def _read(stream: Iterator[bytes], lines: queue.Queue[bytes | None]) -> None:
    """Cut a stream into lines. A slow reader holds this up, so that nothing piles up in memory."""
    rest = b""
    try:
        for chunk in stream:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                try:
                    lines.put(line, timeout=60)
                except queue.Full:
                    return
    except Exception:  # a stream that was closed ends in whatever error the socket happens to give
        pass
    lines.put(None)


def _request(line: bytes, deployment: str) -> Request | None:
    stamp, _, content = line.partition(b" ")
    try:
        found = _decoder.decode(content)
    except msgspec.DecodeError:
        return None
    named = service_generation(found.service)
    if named is None or named[0] != deployment or not is_users_router(found.router):
        return None
    when = stamp.decode()
    return Request(
        generation=named[1], status=found.status, seconds=found.duration / 1e9, ended=_epoch(when), stamp=when
    )


def _epoch(stamp: str) -> float:
    """A time in ISO 8601, with up to nine digits of a second, in epoch seconds."""
    text = stamp.replace("Z", "+00:00")
    head, dot, tail = text.partition(".")
    if dot:
        digits = tail[: len(tail) - len(tail.lstrip("0123456789"))]
        text = f"{head}.{digits[:6]:0<6}{tail[len(digits) :]}"
    return datetime.fromisoformat(text).timestamp()
