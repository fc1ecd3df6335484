"""Answers of the model server: JSON and errors, and who may have an answer."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.serving.messages import HEADER_LENGTH, ProtocolError

SLICE = 64 << 10
SEND_SECONDS = 60.0
_HEADERS = {408: {"Connection": "close"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}


def config_tensor(spec: Tensor) -> dict[str, object]:
    """A tensor of Triton's model configuration."""
    kind = {"BYTES": "TYPE_STRING"}.get(spec.datatype, f"TYPE_{spec.datatype}")
    return {"name": spec.name, "data_type": kind, "dims": spec.shape}


def json_reply(content: object, status: int = 200) -> Response:
    """`content` as a JSON answer."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def http_error(_: Request, error: Exception) -> Response:
    """Answer a request that no route takes: an unknown path, a wrong method."""
    refusal = cast(HTTPException, error)
    response = json_reply({"error": refusal.detail}, refusal.status_code)
    response.headers.update(refusal.headers or {})
    return response


async def protocol_error(_: Request, error: Exception) -> Response:
    """Answer a request that breaks the protocol or a limit."""
    status = cast(ProtocolError, error).status
    response = json_reply({"error": str(error)}, status)
    response.headers.update(_HEADERS.get(status, {}))
    return response


class SlicedResponse(Response):
    """A large answer, sent in slices, so that it is held for a slow client no longer than `SEND_SECONDS`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = memoryview(self.body)
        with contextlib.suppress(TimeoutError):  # what is not sent whole, uvicorn closes
            async with asyncio.timeout(SEND_SECONDS):
                await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                for start in range(0, len(body), SLICE):
                    part = bytes(body[start : start + SLICE])
                    await send({"type": "http.response.body", "body": part, "more_body": start + SLICE < len(body)})


def predictions(content: bytes, length: int | None) -> Response:
    """The answer to an inference request; `length` is that of its JSON part, where binary data follows."""
    kind = "application/json" if length is None else "application/octet-stream"
    headers = None if length is None else {HEADER_LENGTH: str(length)}
    return (SlicedResponse if len(content) > SLICE else Response)(content, media_type=kind, headers=headers)


async def failed(_: Request, error: Exception) -> Response:
    """Answer 500 with the error that the model raised; the traceback is only logged."""
    return json_reply({"error": f"the model failed: {type(error).__name__}: {error}"}, 500)


def forwarded(request: Request) -> bool:
    """Whether the gateway forwarded the request: then it is a user's. Probes and the reconciler ask directly."""
    return any(name.startswith(b"x-forwarded-") for name, _ in request.scope["headers"])


def require_inside(request: Request) -> None:
    """Raise `ProtocolError` unless the request comes from the environment's own network."""
    if forwarded(request):
        raise ProtocolError("Not Found", 404)
