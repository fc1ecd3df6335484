"""Answers of the model server: JSON, and errors."""

from __future__ import annotations

from typing import cast

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.serving.messages import ProtocolError


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
    return json_reply({"error": str(error)}, cast(ProtocolError, error).status)


async def failed(_: Request, error: Exception) -> Response:
    """Answer 500 with the error that the model raised; the traceback is only logged."""
    return json_reply({"error": f"the model failed: {type(error).__name__}: {error}"}, 500)
