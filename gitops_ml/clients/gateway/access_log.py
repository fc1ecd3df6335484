"""Users' requests as the gateway logged them, streamed over the engine's API.

The gateway writes one line of JSON for each request. The line names the service that answered, and so the generation.
Only the current line is kept here: the counts go into the journal with the time of their last line, and the next reader
goes on from there. Not counted are probes, which do not pass through the gateway, and requests that pin a generation:
one client could stop or hide a candidate with those.
"""

from __future__ import annotations

import contextlib
import json
import queue
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import msgspec

from gitops_ml.artifacts.decoding import decoder
from gitops_ml.clients import background
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import REQUEST_ID
from gitops_ml.core.planning.route import is_users_router, service_generation

CLIENT_CLOSED = 499
_MOST_WAITING = 10_000
_LONGEST_LINE = 1 << 20
_TAIL, _TAIL_PER_SECOND = 5_000, 2_000
"""Lines at the log's end that are read: so many, and so many more for each second since the last line that was read.

A pass reads what is new, instead of all five log files: a pass that ended before it had read them all never came to
anything new. With more requests a second some are not counted, of both arms alike, and are reported as lost.
"""
_TICK = 0.05
_BEGINNING, _WHOLE_LINES, _WHOLE_BYTES = 1.0, 10_000_000, 128 << 20
"""More than the engine keeps of a gateway's log: five files of 20 MB."""
_RECENT_SECONDS, _RECENT_LINES, _RECENT_BYTES = 3600.0, 10_000, 16 << 20


class LoggedRequest(msgspec.Struct, frozen=True, kw_only=True):
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
    """The fields of interest in a line of the gateway's access log. `duration` in nanoseconds."""

    router: str = msgspec.field(name="RouterName", default="")
    service: str = msgspec.field(name="ServiceName", default="")
    status: int = msgspec.field(name="DownstreamStatus", default=0)
    duration: int = msgspec.field(name="Duration", default=0)
    request_id: str = msgspec.field(name=f"request_{REQUEST_ID}", default="")


_decoder = decoder(_Line)


class AccessLog:
    """The requests of one deployment in the gateway's log, from one place in the log on.

    `after` is the `stamp` of the last request that was read, or any time in ISO 8601. `lost` becomes true when the line
    of that stamp is no longer in the log: the log was rotated, or the gateway replaced, before all was read.
    """

    def __init__(self, engine: Engine, gateway: str, deployment: str, after: str) -> None:
        self._engine, self._gateway, self._deployment = engine, gateway, deployment
        self._after = after
        self.lost = False

    def requests(self, seconds: float) -> Iterator[LoggedRequest]:
        """The requests in the order in which they ended, for at most `seconds`. Ends early when the gateway ends."""
        lines: queue.Queue[bytes | None] = queue.Queue(_MOST_WAITING)
        since = _epoch(self._after)
        away = max(0.0, time.time() - since)
        stream = self._engine.follow(self._gateway, since, tail=round(_TAIL + _TAIL_PER_SECOND * away))
        background.begin(lambda: _read_lines(stream, lines))
        deadline = time.monotonic() + seconds
        # Only the log's own stamps end in Z. The line with that stamp has to come back first.
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
                    self.lost = line.partition(b" ")[0].decode(errors="replace") > anchor
                    anchor = ""
                request = _request(line, self._deployment)
                if request and request.stamp > self._after:
                    yield request
        finally:
            stream.close()


def _read_lines(stream: Iterator[bytes], lines: queue.Queue[bytes | None]) -> None:
    """Cut a stream into lines. The stream waits for a slow reader, so that nothing piles up in memory."""
    rest = b""
    try:
        for chunk in stream:
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                try:
                    lines.put(line, timeout=60)
                except queue.Full:
                    return
            if len(rest) > _LONGEST_LINE:
                rest = b""  # what is left of this line is no JSON, and is skipped
    except Exception:  # a stream that was closed ends in whatever error the socket happens to give
        pass
    lines.put(None)


def recent_rates(engine: Engine, gateway: str, now: datetime, started: str | None) -> tuple[dict[str, float], float]:
    """Users' requests a second, by deployment, over the last hour or as far back as the log goes.

    Args:
        now: the engine's time.
        started: when the gateway started, ISO 8601; its log says nothing of the time before.

    Returns:
        The rates, and how many seconds they are of.
    """
    begin = max(now.timestamp() - _RECENT_SECONDS, _epoch(started) if started else 0.0)
    log = engine.read_log(gateway, begin, _RECENT_LINES, _RECENT_BYTES)
    lines = log.splitlines()
    requests = [parsed for line in lines if (parsed := _users_request(line))]
    if requests and (len(lines) >= _RECENT_LINES or len(log) > _RECENT_BYTES):
        begin = requests[0][1].ended
    window = max(1.0, now.timestamp() - begin)
    counts = Counter(deployment for deployment, _ in requests)
    return {deployment: count / window for deployment, count in counts.items()}, window


def find_answer(engine: Engine, gateway: str, request_id: str) -> tuple[str, str] | None:
    """The deployment and the fingerprint of the generation that answered a request last, by the request's X-Request-Id.

    None where the log, of which the engine keeps the end, does not have the request.
    """
    named = json.dumps(request_id).encode()
    log = engine.read_log(gateway, _BEGINNING, _WHOLE_LINES, _WHOLE_BYTES)
    for line in reversed(log.splitlines()):
        if named in line:
            with contextlib.suppress(msgspec.MsgspecError):
                entry = _decoder.decode(line.partition(b" ")[2])
                if entry.request_id == request_id and (service := service_generation(entry.service)):
                    return service
    return None


def _request(line: bytes, deployment: str) -> LoggedRequest | None:
    parsed = _users_request(line)
    return parsed[1] if parsed and parsed[0] == deployment else None


def _users_request(line: bytes) -> tuple[str, LoggedRequest] | None:
    """The deployment that a line of the log is about, and its request; None for any other line."""
    stamp, _, content = line.partition(b" ")
    try:
        entry = _decoder.decode(content)
        when = stamp.decode()
        ended = _epoch(when)
    except (msgspec.MsgspecError, ValueError):
        return None
    service = service_generation(entry.service)
    if service is None or not is_users_router(entry.router):
        return None
    deployment, fingerprint = service
    return deployment, LoggedRequest(
        generation=fingerprint, status=entry.status, seconds=entry.duration / 1e9, ended=ended, stamp=when
    )


def _epoch(stamp: str) -> float:
    """A time in ISO 8601 in epoch seconds. Raises `ValueError`."""
    return datetime.fromisoformat(stamp).timestamp()
