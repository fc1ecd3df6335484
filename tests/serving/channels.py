"""Channels without a model server around them: they start at once, and publish any files."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gitops_ml.serving.bodies import Bodies
from gitops_ml.serving.channel import Channel, Published
from gitops_ml.serving.limits import Limits
from gitops_ml.serving.messages import ProtocolError
from gitops_ml.serving.replies import protocol_error
from tests.ports import free_port


class RunningChannel:
    """A channel on a loopback port. `descriptor` and `file`, where they are set, replace its own answers: `file` that
    for model.txt.
    """

    def __init__(
        self,
        folder: Path,
        generation: str,
        version: str,
        port: int = 0,
        poll_seconds: int = 1,
        signed: Mapping[str, str] | None = None,
    ) -> None:
        self.port = port or free_port()
        self.descriptor: bytes | None = None
        self.file: bytes | None = None
        identity = dict.fromkeys(("deployment", "model", "digest"), "churn")
        self.channel = Channel(
            Published(folder, signed or {}),
            identity | {"version": version, "generation": generation},
            streams=50,
            poll_seconds=poll_seconds,
            stopping=lambda: self._server.should_exit,
            bodies=Bodies(Limits()),
        )
        routes = [
            Route("/channel", self._replaced_descriptor),
            Route("/channel/{generation}/files/{path:path}", self._replaced_file),
            *self.channel.routes()[1:],
            *(Route(path, endpoint) for path, endpoint in self.channel.quiet_routes().items()),
        ]
        app = Starlette(routes=routes, exception_handlers={ProtocolError: protocol_error})
        config = uvicorn.Config(app, host="127.0.0.1", port=self.port, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/channel"

    def heard(self, subscriber: str) -> dict[str, object]:
        """The last acknowledgement of a subscriber; empty without one."""
        heard = self.channel._heard.get(subscriber)
        return msgspec.to_builtins(heard[1]) if heard else {}

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    async def _replaced_descriptor(self, request: Request) -> Response:
        return Response(self.descriptor) if self.descriptor is not None else await self.channel._describe(request)

    async def _replaced_file(self, request: Request) -> Response:
        replaced = self.file is not None and request.path_params["path"] == "model.txt"
        return Response(self.file) if replaced else await self.channel._file(request)


@contextlib.contextmanager
def channel_of(folder: Path, generation: str = "g7", version: str = "v1.0.0", **more: Any) -> Iterator[RunningChannel]:
    """A channel that publishes the files of a folder."""
    running = RunningChannel(folder, generation, version, **more)
    try:
        yield running
    finally:
        running.stop()
