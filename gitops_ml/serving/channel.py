"""The channel of a published model: applications load its files at run time, and say what they run.

The container of a generation publishes that generation alone. The gateway decides which subscriber reaches which
container, so what is published changes when a route changes. Acknowledgements are kept in memory: subscribers repeat
theirs at each poll, so a channel that was started again knows all of them after one poll. The protocol is in
docs/publishing.md.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
from anyio import to_thread
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import FileResponse, Response, StreamingResponse
from starlette.routing import Route

from gitops_ml.serving.bodies import Bodies
from gitops_ml.serving.messages import ProtocolError
from gitops_ml.serving.replies import json_reply, require_inside

SUBSCRIBERS_PATH, EVENTS_PATH = "/gitops-ml/subscribers", "/channel/events"
MOST_SUBSCRIBERS = 10_000
MOST_BYTES = 8 << 10
"""Bytes of one acknowledgement."""
_TICK = 0.5
_FILE_THREADS = 4
"""Threads that read files. A stack counts as memory, and those of AnyIO's 40 would take what the server may have."""

_Generation = Annotated[str, Meta(max_length=64)]
_Count = Annotated[int, Meta(ge=0, le=2**53)]


class Acknowledgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber runs, and what it could not load.

    `generation` and `version` are what it has run for `seconds`; empty while it runs nothing. `failed` is the
    generation that it could not load because of `error`. `scored` and `errors` count what its application did with the
    model that it runs.
    """

    subscriber: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
    generation: _Generation = ""
    version: Annotated[str, Meta(max_length=100)] = ""
    seconds: Annotated[float, Meta(ge=0, le=1e10)] = 0.0
    failed: _Generation = ""
    error: Annotated[str, Meta(max_length=500)] = ""
    scored: _Count = 0
    errors: _Count = 0


class Published(NamedTuple):
    """The files that a channel publishes, and what was signed of them: a statement and a signature, or nothing."""

    folder: Path
    signed: Mapping[str, str] = {}


class Channel:
    """The routes of one generation's channel.

    Args:
        identity: deployment, model, version, digest and generation, as the descriptor names them.
        streams: how many event streams may be open at once.
        poll_seconds: how often subscribers ask, and how long an event stream lasts.
        stopping: whether the server is about to end.
    """

    def __init__(
        self,
        published: Published,
        identity: dict[str, str],
        *,
        streams: int,
        poll_seconds: int,
        stopping: Callable[[], bool],
        bodies: Bodies,
    ) -> None:
        folder, signed = published
        self._paths = {p.relative_to(folder).as_posix(): p for p in sorted(folder.rglob("*")) if p.is_file()}
        self._files = {name: _described(name, path) for name, path in self._paths.items()}
        self._generation, self._poll_seconds = identity["generation"], poll_seconds
        descriptor = {"schema": 1, **identity, "poll_seconds": poll_seconds, "files": list(self._files.values())}
        self._descriptor = msgspec.json.encode(descriptor | ({"signed": signed} if signed else {}))
        self._most_streams, self._streams = streams, 0
        self._stopping, self._bodies = stopping, bodies
        self._started = time.monotonic()
        self._heard: dict[str, tuple[float, Acknowledgement]] = {}

    def routes(self) -> list[Route]:
        """The routes, without those of `quiet_routes`."""
        return [
            Route("/channel", self._describe),
            Route("/channel/acknowledgements", self._acknowledge, methods=["POST"]),
            Route("/channel/{generation}/files/{path:path}", self._file),
        ]

    def quiet_routes(self) -> dict[str, Callable[[Request], Any]]:
        """Routes whose requests do not count as in flight: an open stream must not hold up the server's end."""
        return {EVENTS_PATH: self._events, SUBSCRIBERS_PATH: self._subscribers}

    async def _describe(self, request: Request) -> Response:
        headers = {"ETag": f'"{self._generation}"', "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(self._descriptor, media_type="application/json", headers=headers)

    async def _file(self, request: Request) -> Response:
        """Answer with one file, or a range of it. A file of another generation is not here, whatever its name."""
        name = request.path_params["path"]
        if request.path_params["generation"] != self._generation:
            raise ProtocolError(f"{self._generation} is published here now; ask for the descriptor again", 404)
        if name not in self._files:
            raise ProtocolError(f"the model has no file {name!r}", 404)
        to_thread.current_default_thread_limiter().total_tokens = _FILE_THREADS
        etag = f'"{self._files[name]["sha256"]}"'
        return FileResponse(self._paths[name], media_type="application/octet-stream", headers={"ETag": etag})

    async def _events(self, _: Request) -> Response:
        if self._streams >= self._most_streams:
            raise ProtocolError("there are too many event streams; poll the descriptor instead", 503)
        return StreamingResponse(self._follow(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    async def _follow(self) -> AsyncIterator[bytes]:
        """One event, then silence until the next poll is due or this container ends: the gateway decides anew then."""
        self._streams += 1
        try:
            yield b"event: published\nretry: 1000\ndata: " + self._descriptor + b"\n\n"
            end = time.monotonic() + self._poll_seconds
            while time.monotonic() < end and not self._stopping():
                await asyncio.sleep(_TICK)
        finally:
            self._streams -= 1

    async def _acknowledge(self, request: Request) -> Response:
        body = await self._bodies.read(request)
        if len(body) > MOST_BYTES:
            raise ProtocolError(f"an acknowledgement has at most {MOST_BYTES} bytes", 413)
        try:
            said = msgspec.json.decode(body, type=Acknowledgement)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(f"the acknowledgement is not as the protocol says: {error}") from error
        self._heard.pop(said.subscriber, None)  # so that the first in order is who was silent for longest
        self._heard[said.subscriber] = time.monotonic(), said
        if len(self._heard) > MOST_SUBSCRIBERS:
            del self._heard[next(iter(self._heard))]
        return Response(status_code=204)

    async def _subscribers(self, request: Request) -> Response:
        """What subscribers said last, and how many seconds ago; only for the environment's own network."""
        require_inside(request)
        now = time.monotonic()
        heard = [msgspec.structs.asdict(said) | {"heard": now - at} for at, said in self._heard.values()]
        uptime = now - self._started
        return json_reply({"poll_seconds": self._poll_seconds, "uptime": uptime, "subscribers": heard})


def _described(name: str, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"path": name, "size": path.stat().st_size, "sha256": digest}
