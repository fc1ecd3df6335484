"""A closed-loop HTTP client that needs little CPU: it repeats the same bytes over kept-alive connections."""

from __future__ import annotations

import asyncio
import re
import time


async def drive(port: int, request: bytes, connections: int, seconds: float) -> tuple[list[float], float]:
    """Run a closed loop over kept-alive connections. Returns the latencies and the total time, in seconds."""
    times: list[float] = []
    started = time.perf_counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = 0
        while sent < 3 or time.perf_counter() - started < seconds:  # some, however slow the machine is
            sent += 1
            begun = time.perf_counter()
            writer.write(request)
            await answer_of(reader)
            times.append(time.perf_counter() - begun)
        writer.close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return times, time.perf_counter() - started


async def ask(port: int, request: bytes) -> bytes:
    """Body of the answer to one request; raises RuntimeError where its status is not 200."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    content = await answer_of(reader)
    writer.close()
    return content


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(head.decode() + (await reader.read(500)).decode())
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    assert length is not None
    return await reader.readexactly(int(length.group(1)))
