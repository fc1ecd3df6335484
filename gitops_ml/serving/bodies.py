"""Reads the bodies of HTTP requests, bounded in bytes and in time: each of them, and all that are held at once.

A body that fits is read whatever others do: the first `FREE_BYTES` of each are not counted, since the number of
connections bounds them, and a body that has been coming for `PATIENCE` seconds makes room for others.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.types import Scope

from gitops_ml.serving.limits import Limits
from gitops_ml.serving.messages import ProtocolError

FREE_BYTES = 16 << 10
PATIENCE = 2.0
"""Seconds that a body may take to arrive although others need its room."""
AT_ONCE = 0.1
"""Seconds in which most bodies have come; more than half of the connections may wait only so long."""
IDLE_SECONDS = 10.0
"""Seconds between two parts of a body."""
STEP = 1 << 20
"""Bytes that are decompressed before other requests get their turn."""

_SCOPE_KEY = "gitops_ml.body"


class _Body:
    """A body in the making, and the bytes that are held for its request until the answer is sent."""

    def __init__(self, timeout: asyncio.Timeout, started: float) -> None:
        self.content = bytearray()
        self.timeout = timeout
        self.started = started
        self.counted = 0
        self.displaced = False


class Bodies:
    """All bodies and answers that the server holds."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0
        self._arriving: dict[_Body, None] = {}  # the oldest first

    async def read(self, request: Request) -> bytearray:
        """Read the whole body, decompressed. `release` gives its room back.

        Raises:
            ProtocolError: 413 as soon as the body is known to be too large, 429 if others leave no room for it, 408 if
                it comes too slowly, 415 for an unknown encoding, 400 for a broken body, 499 if the client disconnected.
        """
        encoding = request.headers.get("content-encoding", "identity").lower()
        if encoding not in ("identity", "gzip", "deflate"):
            raise ProtocolError(f"content encoding {encoding!r} is not supported; use gzip or deflate", 415)
        self._require_size(int(request.headers.get("content-length", "0")))
        loop = asyncio.get_running_loop()
        body = _Body(asyncio.timeout(min(IDLE_SECONDS, self._limits.body_seconds)), loop.time())
        self._start(body)
        request.scope[_SCOPE_KEY] = body
        try:
            async with body.timeout:
                await self._receive(request, body, None if encoding == "identity" else _Unpacker(encoding))
        except TimeoutError as error:
            slowly = "others need its room" if body.displaced else f"{self._limits.body_seconds:g} s are allowed"
            raise ProtocolError(f"the body comes too slowly; {slowly}", 408) from error
        except ClientDisconnect as error:
            raise ProtocolError("the client went away", 499) from error
        finally:
            self._arriving.pop(body, None)
        return body.content

    def hold_answer(self, scope: Scope, size: int) -> None:
        """Hold an answer of `size` bytes in place of the request's body."""
        body: _Body | None = scope.get(_SCOPE_KEY)
        if body is not None:
            body.content = bytearray()
            self._count(body, size)

    def release(self, scope: Scope) -> None:
        """Forget what is held for the request of `scope`."""
        body: _Body | None = scope.pop(_SCOPE_KEY, None)
        if body is not None:
            self._count(body, 0)

    def _start(self, body: _Body) -> None:
        """Take the body among those that arrive; too many of them would use up the connections."""
        if len(self._arriving) >= self._limits.connections // 2:
            self._displace(body.started, AT_ONCE)
        self._arriving[body] = None

    async def _receive(self, request: Request, body: _Body, unpacker: _Unpacker | None) -> None:
        loop = asyncio.get_running_loop()
        end = body.started + self._limits.body_seconds
        async for part in request.stream():
            body.timeout.reschedule(min(end, loop.time() + IDLE_SECONDS))
            if unpacker is None:
                self._append(body, part)
                continue
            for piece in unpacker.pieces(part):
                self._append(body, piece)
                if len(piece) == STEP:
                    await asyncio.sleep(0)
        if unpacker is not None:
            unpacker.require_end()

    def _append(self, body: _Body, part: bytes) -> None:
        size = len(body.content) + len(part)
        self._require_size(size)
        extra = max(0, size - FREE_BYTES) - body.counted
        while self._held + extra > self._limits.bodies_bytes:
            if not self._displace(asyncio.get_running_loop().time(), PATIENCE, body):
                raise ProtocolError("the bodies of other requests take all room; send it again", 429)
        body.content += part
        self._count(body, size)

    def _displace(self, now: float, patience: float, but: _Body | None = None) -> bool:
        """End the body that has been coming for longest, if that is longer than `patience` seconds."""
        oldest = next((body for body in self._arriving if body is not but), None)
        if oldest is None or now - oldest.started < patience:
            return False
        del self._arriving[oldest]
        oldest.content = bytearray()
        self._count(oldest, 0)
        oldest.displaced = True
        oldest.timeout.reschedule(now)
        return True

    def _count(self, body: _Body, size: int) -> None:
        counted = max(0, size - FREE_BYTES)
        self._held += counted - body.counted
        body.counted = counted

    def _require_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise ProtocolError(
                f"the body is larger than {self._limits.body_bytes} bytes; send fewer rows at once", 413
            )


class _Unpacker:
    """Decompresses a zlib stream, or a gzip stream of one or more members, in pieces of at most `STEP` bytes.

    Source: RFC 1950, and RFC 1952 section 2.2 for members.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        self._stream = _decompressor()

    def pieces(self, part: bytes) -> Iterator[bytes]:
        """Decompress `part`. Raises `ProtocolError` if it is not of the encoding."""
        try:
            while part:
                if self._stream.eof:
                    if self._encoding != "gzip":
                        raise ProtocolError(f"there is something behind the end of the {self._encoding} body")
                    self._stream = _decompressor()
                yield self._stream.decompress(part, STEP)
                part = self._stream.unconsumed_tail or self._stream.unused_data
        except zlib.error as error:
            raise ProtocolError(f"the body is not {self._encoding}: {error}") from error

    def require_end(self) -> None:
        """Raise `ProtocolError` if the stream is cut off."""
        if not self._stream.eof:
            raise ProtocolError(f"the {self._encoding} body is cut off")


def _decompressor() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: detect gzip or zlib
