"""What the engine speaks beside JSON: tar archives of files, and the framed output of commands."""

from __future__ import annotations

import io
import struct
import tarfile
import time
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

OWNER = 65532  # the user that our containers run as
FRAME = struct.Struct(">BxxxL")
"""What stands before each piece of a command's output: which stream it is of, and its length in bytes."""


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files, by relative name. A name with a slash at its end is a directory."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.uid = entry.gid = OWNER
            entry.mtime = int(time.time())
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            else:
                entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def unpack(chunks: Iterable[bytes], strip: int = 1) -> dict[str, bytes]:
    """The files of a tar that the engine made of a path: relative to it, or by name if it is a file.

    `strip` is the number of leading directories that are taken off their names.
    """
    found = {}
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        for entry in tar:
            content = tar.extractfile(entry) if entry.isfile() else None
            if content is not None:
                parts = PurePosixPath(entry.name).parts
                found["/".join(parts[strip:] or parts)] = content.read()
    return found


def frames(raw: bytes) -> tuple[bytes, bytes]:
    """(stdout, stderr) from the engine's framed output. A frame that was cut off gives what came of it."""
    streams: dict[int, list[bytes]] = {1: [], 2: []}
    at = 0
    while at + FRAME.size <= len(raw):
        stream, size = FRAME.unpack_from(raw, at)
        at += FRAME.size
        streams.setdefault(stream, []).append(raw[at : at + size])
        at += size
    return b"".join(streams[1]), b"".join(streams[2])
