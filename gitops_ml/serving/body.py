"""Reads the bodies of HTTP requests, bounded in bytes: a body without a bound could exceed the memory limit."""

from __future__ import annotations

import zlib

from starlette.requests import ClientDisconnect, Request

from gitops_ml.serving.messages import ProtocolError

HEADER_LENGTH = "Inference-Header-Content-Length"


async def read_body(request: Request, limit: int) -> bytes:
    """Read the whole body, decompressed.

    Args:
        limit: bytes that it may have, before and after decompression.

    Raises:
        ProtocolError: 413 as soon as the body is known to be too large, 415 for an unknown encoding, 400 for a broken
            body, 499 if the client disconnected.
    """
    too_large = ProtocolError(f"the body is larger than {limit} bytes", 413)
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "deflate"):
        raise ProtocolError(f"content encoding {encoding!r} is not supported; use gzip or deflate", 415)
    if int(request.headers.get("content-length", "0")) > limit:
        raise too_large
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise too_large
            parts.append(part)
    except ClientDisconnect as error:
        raise ProtocolError("the client went away", 499) from error
    body = b"".join(parts)
    if encoding == "identity":
        return body
    try:
        unpacker = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: detect gzip or zlib
        body = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise ProtocolError(f"the body is not {encoding}: {error}") from error
    if len(body) > limit:
        raise too_large
    if not unpacker.eof:
        raise ProtocolError(f"the {encoding} body is cut off")
    return body


def header_length(header: str | None) -> int | None:
    """Parse `Inference-Header-Content-Length`. Raises `ProtocolError` if it is not a number."""
    if header is None:
        return None
    if not header.isascii() or not header.isdigit():
        raise ProtocolError(f"{HEADER_LENGTH} is {header!r}, not a number of bytes")
    return int(header)
