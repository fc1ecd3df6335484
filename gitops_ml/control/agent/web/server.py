"""The agent's HTTP server: uvicorn, in a thread of its own.

It shares nothing with the loop but the status board. So no client delays a pass, however slow, silent or many.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from gitops_ml.control.agent.web.answers import Answer, Get, Question, refusal
from gitops_ml.errors import InputError
from gitops_ml.serving.connections import BoundedProtocol, bounded

MOST_CONNECTIONS = 200
KEEP_ALIVE_SECONDS = 75
SWEEP_SECONDS = 5.0
STOP_SECONDS = 1.0
"""How long the end of the agent waits for answers under way."""

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_log = logging.getLogger("gitops_ml.agent")


class HttpServer:
    """Answers `gets`, by path, and `routes`. A path may name parts, as in `/e/{environment}`.

    Args:
        guard: wraps the application, and sees each request first.

    Raises `InputError` when the address cannot be listened at.
    """

    def __init__(
        self,
        host: str,
        port: int,
        gets: Mapping[str, Get],
        routes: Sequence[BaseRoute] = (),
        guard: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    ) -> None:
        self._socket = _listen(host, port)
        app = Starlette(
            routes=[*routes, *(Route(path, _endpoint(get)) for path, get in gets.items())],
            exception_handlers={HTTPException: _refused, Exception: _unforeseen},
        )
        config = uvicorn.Config(
            guard(app),
            http=bounded(MOST_CONNECTIONS),
            lifespan="off",
            ws="none",
            log_config=None,
            log_level=logging.CRITICAL,  # `_unforeseen` logs what routes raise
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=1,
        )
        self._server = _Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True, name="http")

    @property
    def address(self) -> str:
        """Where the server listens, as host:port."""
        host, port = self._socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop to answer. Raises nothing."""
        self._server.should_exit = True
        self._thread.join(STOP_SECONDS)


class _Server(uvicorn.Server):
    """Ends connections whose clients send no request, or do not take their answer."""

    _sweep_at = 0.0

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        if now >= self._sweep_at:
            self._sweep_at = now + SWEEP_SECONDS
            for connection in list(self.server_state.connections):
                cast(BoundedProtocol, connection).sweep(now)
        return await super().on_tick(counter)


def parse_address(text: str) -> tuple[str, int]:
    """Parse `PORT`, which means this machine alone, or `HOST:PORT`. Raises `InputError`."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise InputError(
            f"--listen {text!r} is no address",
            why="it is PORT or HOST:PORT",
            fix="--listen 127.0.0.1:9464",
        )
    return host, int(port)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, kind)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen(MOST_CONNECTIONS)
        except BaseException:
            listening.close()
            raise
        return listening
    except OSError as error:
        raise InputError(
            f"the agent cannot listen at {host}:{port}",
            why=error.strerror or str(error),
            fix="--listen 127.0.0.1:0, which takes a free port",
        ) from error


def _endpoint(get: Get) -> Callable[[Request], Response]:
    def endpoint(request: Request) -> Response:  # no coroutine: Starlette runs it in a thread
        question = Question(
            path=request.path_params,
            headers=dict(request.headers),  # by lower-case name, as ASGI has them
        )
        return respond(get(question))

    return endpoint


def respond(answer: Answer) -> Response:
    """The answer as the framework's."""
    return Response(answer.body, answer.status, {**_HEADERS, **answer.headers}, answer.media_type)


async def _refused(request: Request, error: Exception) -> Response:
    refused = cast(HTTPException, error)
    answer = respond(refusal(refused.status_code, refused.detail))
    answer.headers.update(refused.headers or {})
    return answer


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("unforeseen in %s", request.url.path[:200], exc_info=error)
    return respond(refusal(500, f"unforeseen {type(error).__name__}; the agent's log has the rest"))
