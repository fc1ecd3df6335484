"""What the engine speaks beside JSON: tar archives of files, and the framed output of commands."""

from __future__ import annotations

import io
import struct
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from gitops_ml.artifacts.content import FileContent
from gitops_ml.clients.engine.types import TooMuchOutput
from gitops_ml.serving.building import archive

OWNER = 65532  # the user that our containers run as
_LARGE = 8 << 20
FRAME = struct.Struct(">BxxxL")
"""The header of each piece of a command's output: its stream, and its length in bytes."""


def pack(files: Mapping[str, bytes], mode: int = 0o644) -> bytes:
    """Make a tar of files for a container, by relative name. A name that ends in a slash is a folder."""
    return archive.pack(files, owner=OWNER, mode=mode, time=int(time.time()))


def packed(files: Mapping[str, FileContent], mode: int = 0o644) -> bytes | Iterator[bytes]:
    """The tar of `pack`; in pieces where it is large, so that no file is held twice."""
    pieces = archive.stream(files, owner=OWNER, mode=mode, time=int(time.time()))
    return b"".join(pieces) if sum(map(len, files.values())) < _LARGE else pieces


def unpack(chunks: Iterable[bytes], strip: int = 1) -> dict[str, bytes]:
    """The files of a tar that the engine made of a path: by name relative to a directory, or by the one file's name.

    Args:
        strip: how many leading directories are taken off the names.
    """
    files = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.isfile() else None
            if content is not None:
                parts = PurePosixPath(entry.name).parts
                files["/".join(parts[strip:] or parts)] = content.read()
    return files


def split_frames(raw: bytes) -> tuple[bytes, bytes]:
    """(stdout, stderr) from the engine's framed output. A frame that was cut off gives what came of it."""
    streams: dict[int, list[bytes]] = {1: [], 2: []}
    at = 0
    while at + FRAME.size <= len(raw):
        stream, size = FRAME.unpack_from(raw, at)
        at += FRAME.size
        streams.setdefault(stream, []).append(raw[at : at + size])
        at += size
    return b"".join(streams[1]), b"".join(streams[2])


def bounded(chunks: Iterable[bytes], limit: int, doing: str, deadline: float | None = None) -> Iterator[bytes]:
    """The chunks, up to `limit` bytes and until `deadline` (of the monotonic clock).

    Raises `TooMuchOutput` beyond the limit and `TimeoutError` after the deadline.
    """
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooMuchOutput(f"more than {limit:,} bytes came back ({doing})", why="no more is read into memory")
        if deadline is not None and time.monotonic() > deadline:
            raise TimeoutError("it took too long")
        yield chunk
