"""Connections are bounded in number, and whoever has sent a request keeps the connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn

from gitops_ml.serving.connections import bounded

MOST = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"


async def app(scope: Any, receive: Any, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    if scope["path"] == "/busy":
        await receive()
        await receive()  # until the client hangs up
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def with_server(test: Callable[[uvicorn.Server, int], Awaitable[None]]) -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = uvicorn.Server(
        uvicorn.Config(app, http=bounded(MOST), log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=1)
    )
    serving = asyncio.ensure_future(server.serve([listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    await test(server, listening.getsockname()[1])
    server.should_exit = True
    await serving


def connect(port: int, content: bytes) -> socket.socket:
    """Connect while the server's loop stands still, as on a machine that is short of CPU time."""
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(content)
    return client


async def status(client: socket.socket) -> int:
    """The status that the server answers; 0 if it ends the connection without one."""
    try:
        answer = await asyncio.to_thread(client.recv, 4096)
    except ConnectionError:
        return 0
    return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize("head", [b"", b"POST / HTTP/1.1\r\n"])
def test_a_request_that_has_arrived_is_answered_whoever_comes_after_it(head: bytes) -> None:
    """All of them come before the server looks: none has been idle for longer than another."""

    async def test(server: uvicorn.Server, port: int) -> None:
        user = connect(port, REQUEST)
        crowd = [connect(port, head) for _ in range(5 * MOST)]
        assert await status(user) == 204
        await asyncio.sleep(0.1)
        assert len(server.server_state.connections) <= MOST
        for client in [user, *crowd]:
            client.close()

    asyncio.run(asyncio.wait_for(with_server(test), 30))


def test_the_connection_that_was_idle_for_longest_makes_room() -> None:
    async def test(server: uvicorn.Server, port: int) -> None:
        crowd = []
        for _ in range(MOST):
            crowd.append(connect(port, b""))
            await asyncio.sleep(0.01)
        user = connect(port, REQUEST)
        assert await status(user) == 204
        assert await status(crowd[0]) == 503
        assert len(server.server_state.connections) == MOST
        for client in [user, *crowd]:
            client.close()

    asyncio.run(asyncio.wait_for(with_server(test), 30))


def test_where_all_connections_are_busy_the_next_is_told_to_come_again() -> None:
    async def test(server: uvicorn.Server, port: int) -> None:
        busy = [connect(port, REQUEST.replace(b"/", b"/busy", 1)) for _ in range(MOST)]
        await asyncio.sleep(0.1)
        late = [connect(port, REQUEST.replace(b"/", b"/busy", 1)) for _ in range(3)]
        assert [await status(client) for client in late] == [503] * 3
        for client in [*late, *busy]:
            client.close()

    asyncio.run(asyncio.wait_for(with_server(test), 30))
