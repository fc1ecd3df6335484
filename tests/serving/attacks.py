"""Attacks on a model server over HTTP, bounded in time, and a bystander who asks for a prediction all the while.

For the server of `tests.serving.artifacts`, at an address of our own. Each attack takes host and port, and ends itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.serving.artifacts import INPUTS, body, rows

INFER = "/v2/models/delays/infer"
BIG = 60 << 20
SECONDS = 4.0
"""How long an attack holds its connections."""

PATIENCE = 60.0
"""How long a bystander waits for an answer, in seconds."""

Attack = Callable[[str, int], Awaitable[dict[int, int]]]
"""Returns how often each status was answered; 0 stands for a connection without an answer."""


def _request(content: bytes, length: int | None = None, **headers: str) -> bytes:
    size = len(content) if length is None else length
    lines = [f"POST {INFER} HTTP/1.1", "Host: attacked", f"Content-Length: {size}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def _numbers(size: int = BIG) -> bytes:
    """A request whose first column is `[1,1,…]`, of about `size` bytes."""
    count = size // 2
    first, *others = INPUTS
    head = json.dumps({**first, "shape": [count]})[:-1].encode()
    rest = json.dumps([{**spec, "shape": [count], "data": []} for spec in others]).encode()
    return b'{"inputs":[' + head + b',"data":[' + b"1," * (count - 1) + b"1]}," + rest[1:] + b"}"


async def _status(reader: asyncio.StreamReader, seconds: float = SECONDS) -> int:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, IndexError, ValueError):
        async with asyncio.timeout(seconds):
            return int((await reader.readline()).split()[1])
    return 0


async def _send(host: str, port: int, content: bytes, seconds: float = 30.0) -> int:
    """Send `content`, and the status of the answer; 0 if there is none in time."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return 0
    try:
        sending = asyncio.ensure_future(_write(writer, content))
        status = await _status(reader, seconds)
        sending.cancel()
        return status
    finally:
        writer.transport.abort()


async def _write(writer: asyncio.StreamWriter, content: bytes) -> None:
    with contextlib.suppress(OSError):
        for start in range(0, len(content), 1 << 20):
            writer.write(content[start : start + (1 << 20)])
            await writer.drain()


async def _all(attempts: list[Awaitable[int]]) -> dict[int, int]:
    statuses = await asyncio.gather(*attempts)
    return {status: statuses.count(status) for status in sorted(set(statuses))}


async def numbers(host: str, port: int) -> dict[int, int]:
    """Bodies of numbers: too large, of more values than the memory holds, and as many as it just holds."""
    contents = [_request(_numbers(size)) for size in (BIG, BIG // 3, 4 << 20)]
    return await _all([_send(host, port, each) for each in contents * 3])


async def packed_numbers(host: str, port: int) -> dict[int, int]:
    """The same in 60 KB of gzip."""
    content = _request(gzip.compress(_numbers()), Content_Encoding="gzip")
    return await _all([_send(host, port, content) for _ in range(8)])


async def nested(host: str, port: int) -> dict[int, int]:
    """Lists inside lists: wide, and deep."""
    wide = b'{"inputs":[{"name":"distance","datatype":"FP64","shape":[1],"data":[' + b"[1]," * (5 << 20) + b"[1]]}]}"
    deep = b'{"inputs":[{"name":"distance","datatype":"FP64","shape":[1],"data":' + b"[" * (20 << 20) + b"}]}"
    return await _all([_send(host, port, _request(each)) for each in (wide, deep, wide, deep)])


async def texts(host: str, port: int) -> dict[int, int]:
    """Texts that take more memory decoded than encoded."""
    long = ("é" * (14 << 20) + "😀").encode()
    many = b'"ab",' * (8 << 20) + b'"ab"'
    head = b'{"inputs":[{"name":"carrier","datatype":"BYTES","shape":[1],"data":['
    bodies = [head + each + b"]}]}" for each in (b'"' + long + b'"', many)]
    return await _all([_send(host, port, _request(each)) for each in bodies * 2])


async def unfinished(host: str, port: int) -> dict[int, int]:
    """20 bodies of 60 MiB, and 20 of 40, that stop before their last byte."""
    contents = [_request(b" " * (size - 1), size) for size in (BIG, BIG * 2 // 3)]
    return await _all([_send(host, port, each, 2 * SECONDS) for each in contents * 20])


async def slow_bodies(host: str, port: int) -> dict[int, int]:
    """1,000 bodies, a byte a second."""
    return await _all([_trickle(host, port) for _ in range(1000)])


async def _trickle(host: str, port: int) -> int:
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(_request(b"{", 4096))
        status = asyncio.ensure_future(_status(reader))
        until = time.monotonic() + SECONDS
        while time.monotonic() < until and not status.done():
            await asyncio.wait([status], timeout=1.0)
            writer.write(b" ")
        writer.transport.abort()
        return await status
    except OSError:
        return 0


async def idle_connections(host: str, port: int) -> dict[int, int]:
    """1,500 connections without a request."""
    return await _all([_send(host, port, b"POST / HTTP/1.1\r\n", SECONDS) for _ in range(1500)])


async def slow_readers(host: str, port: int) -> dict[int, int]:
    """100 clients who ask for large answers and read none."""
    content = _request(json.dumps(body(rows(5000))).encode())

    async def attempt() -> int:
        try:
            _, writer = await asyncio.open_connection(host, port, limit=1)
            await _write(writer, content)
            await asyncio.sleep(SECONDS)
            writer.transport.abort()
        except OSError:
            pass
        return 0

    return await _all([attempt() for _ in range(100)])


ATTACKS: tuple[Attack, ...] = (
    numbers,
    packed_numbers,
    nested,
    texts,
    unfinished,
    slow_bodies,
    idle_connections,
    slow_readers,
)


ONE_ROW = _request(json.dumps(body(rows(1))).encode(), Connection="close")


@dataclass
class Bystander:
    """What a user saw who asks for one row again and again, each time over a new connection.

    The user asks from a thread: a request never waits for the event loop that attacks.
    """

    host: str
    port: int
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def ask(self) -> None:
        """Ask once."""
        started, status = time.monotonic(), b"no answer"
        try:
            with socket.create_connection((self.host, self.port), PATIENCE) as connection:
                connection.settimeout(PATIENCE)
                connection.sendall(ONE_ROW)
                status = connection.recv(64).split(b"\r\n")[0]
        except OSError as error:
            status = str(error).encode()
        self.seconds.append(time.monotonic() - started)
        if b" 200 " not in status:
            self.failures.append(f"{status.decode()} after {self.seconds[-1]:.1f} s")

    def ask_until(self, ended: threading.Event) -> None:
        while not ended.wait(0.05):
            self.ask()


async def under(attack: Attack, host: str, port: int) -> tuple[dict[int, int], Bystander]:
    """Run an attack; what it was answered, and what a bystander saw meanwhile and for a second after."""
    bystander, ended = Bystander(host, port), threading.Event()
    asking = asyncio.create_task(asyncio.to_thread(bystander.ask_until, ended))
    await asyncio.sleep(0.2)
    statuses = await attack(host, port)
    await asyncio.sleep(1.0)
    ended.set()
    await asking
    return statuses, bystander


def usual_seconds(host: str, port: int) -> float:
    """How long a user waits for an answer on this machine now, while nobody attacks."""
    bystander = Bystander(host, port)
    for _ in range(5):
        bystander.ask()
    assert not bystander.failures, bystander.failures
    return max(bystander.seconds)
