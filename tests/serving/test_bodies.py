"""Bodies of requests: each bounded in bytes and time, and together, so that others' bodies do not keep out a user's."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from gitops_ml.serving import bodies
from gitops_ml.serving.bodies import FREE_BYTES, Bodies
from gitops_ml.serving.limits import MIB, Limits, limits_within
from gitops_ml.serving.messages import ProtocolError

LIMITS = Limits(body_bytes=MIB, bodies_bytes=2 * MIB, connections=8, body_seconds=0.5)


def request(*parts: bytes | float | None, **headers: str) -> Request:
    """A request whose body comes in `parts`; a number waits so many seconds, None waits for ever."""
    coming = list(parts)

    async def receive() -> dict[str, Any]:
        while coming and not isinstance(coming[0], bytes):
            seconds = coming.pop(0)
            await (asyncio.sleep(float(seconds)) if isinstance(seconds, int | float) else asyncio.Event().wait())
        part = coming.pop(0) if coming else b""
        return {"type": "http.request", "body": part, "more_body": bool(coming)}

    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def status_of(reading: Awaitable[Any]) -> int:
    try:
        await reading
    except ProtocolError as error:
        return error.status
    return 200


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


@pytest.mark.parametrize(
    ("parts", "headers", "status"),
    [
        ([b"x" * MIB], {}, 200),
        ([b"x" * MIB, b"x"], {}, 413),
        ([b"x"], {"content_length": str(MIB + 1)}, 413),
        ([gzip.compress(b" " * 50 * MIB)], {"content_encoding": "gzip"}, 413),
        ([gzip.compress(b"x" * MIB)], {"content_encoding": "gzip"}, 200),
        ([gzip.compress(b"x")[:-9]], {"content_encoding": "gzip"}, 400),
        ([b"x"], {"content_encoding": "gzip"}, 400),
        ([gzip.compress(b"x") + gzip.compress(b"y")], {"content_encoding": "gzip"}, 200),
        ([gzip.compress(b"x"), gzip.compress(b" " * 50 * MIB)], {"content_encoding": "gzip"}, 413),
        ([gzip.compress(b"x") + gzip.compress(b"y")[:-9]], {"content_encoding": "gzip"}, 400),
        ([gzip.compress(b"x") + b"more"], {"content_encoding": "gzip"}, 400),
        ([zlib.compress(b"x") + b"more"], {"content_encoding": "deflate"}, 400),
        ([b"x"], {"content_encoding": "br"}, 415),
        ([b"x", None], {}, 408),
        ([b"x", 0.2, b"x", 0.2, b"x", 0.2, b"x"], {}, 408),
    ],
)
def test_a_body_is_bounded_in_bytes_and_time(parts: list[Any], headers: dict[str, str], status: int) -> None:
    async def test() -> None:
        held = Bodies(LIMITS)
        each = request(*parts, **headers)
        assert await status_of(held.read(each)) == status
        held.release(each.scope)
        assert held._held == 0
        assert not held._arriving

    run(test)


@pytest.mark.parametrize("split", [1, 20, 25, 60])
def test_all_members_of_a_gzip_body_are_read(split: int) -> None:
    content = gzip.compress(b"first ") + gzip.compress(b"") + gzip.compress(b"second")
    reading = Bodies(LIMITS).read(request(content[:split], content[split:], content_encoding="gzip"))
    assert asyncio.run(reading) == b"first second"


def test_bodies_together_are_bounded_until_their_answers_are_sent() -> None:
    async def test() -> None:
        held = Bodies(LIMITS)
        first, second, third = (request(b"x" * MIB) for _ in range(3))
        await held.read(first)
        await held.read(second)
        assert await status_of(held.read(third)) == 429
        held.release(third.scope)
        assert await status_of(held.read(request(b"x" * FREE_BYTES))) == 200  # a small one always fits
        held.hold_answer(first.scope, 2 * MIB)  # the answer takes the place of the body
        held.release(second.scope)
        assert await status_of(held.read(request(b"x" * MIB))) == 429
        held.release(first.scope)
        assert await status_of(held.read(request(b"x" * MIB))) == 200

    run(test)


@pytest.mark.parametrize("patience", [0.05, 60.0])
def test_a_body_that_comes_slowly_makes_room(monkeypatch: pytest.MonkeyPatch, patience: float) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", patience)

    async def test() -> None:
        held = Bodies(LIMITS)
        unfinished = [asyncio.ensure_future(status_of(held.read(request(b"x" * MIB, None)))) for _ in range(2)]
        await asyncio.sleep(0.1)
        status = await status_of(held.read(request(b"x" * MIB)))
        assert status == (200 if patience < 1 else 429)
        assert [await each for each in unfinished] == [408, 408]

    run(test)


def test_many_bodies_that_come_slowly_make_room_for_one_that_comes_at_once() -> None:
    """Half of the connections may wait for bodies."""

    async def test() -> None:
        held = Bodies(LIMITS)
        waiting = [asyncio.ensure_future(status_of(held.read(request(b"x", None)))) for _ in range(4)]
        await asyncio.sleep(0.2)
        assert await status_of(held.read(request(b"x"))) == 200
        assert await waiting[0] == 408
        assert len(held._arriving) == 3
        for each in waiting:
            each.cancel()

    run(test)


@given(st.integers(0, 1 << 40))
@settings(max_examples=50)
def test_all_limits_together_are_below_the_free_memory(free: int) -> None:
    limits = limits_within(free)
    together = limits.bodies_bytes + limits.request_bytes + limits.connections * (64 << 10)
    assert together < max(free, 8 * MIB)
    assert limits.body_bytes <= limits.bodies_bytes
