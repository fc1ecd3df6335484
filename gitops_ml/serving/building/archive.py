"""Packs files into a tar, as the engine takes build contexts, images and files for containers."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from gitops_ml.artifacts.content import FileContent

_PIECE = 1 << 20


@dataclass(frozen=True)
class Streamed:
    """A file of an archive that is made again whenever it is read: `size` bytes, in the pieces that `pieces` gives."""

    size: int
    pieces: Callable[[], Iterable[bytes]]


def pack(files: Mapping[str, bytes], *, owner: int = 0, mode: int = 0o444, time: int = 0) -> bytes:
    """Make a tar of files by relative name, in their order. A name that ends in a slash is a folder.

    Args:
        owner: user and group of all entries.
        mode: permissions of the files; folders have 755.
        time: modification time of all entries, in epoch seconds.
    """
    return b"".join(stream(files, owner=owner, mode=mode, time=time))


def stream(
    files: Mapping[str, FileContent | Streamed], *, owner: int = 0, mode: int = 0o444, time: int = 0
) -> Iterator[bytes]:
    """Make the tar of `pack` piece by piece, so that large files are never held twice."""
    size = 0
    for name, content in files.items():
        entry = tarfile.TarInfo(name.rstrip("/"))
        entry.uid = entry.gid = owner
        entry.mtime = time
        if name.endswith("/"):
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        else:
            entry.size, entry.mode = content.size if isinstance(content, Streamed) else len(content), mode
        header = entry.tobuf(tarfile.PAX_FORMAT)
        yield header
        yield from content.pieces() if isinstance(content, Streamed) else _pieces(content)
        padding = -entry.size % tarfile.BLOCKSIZE
        yield bytes(padding)
        size += len(header) + entry.size + padding
    yield bytes(_end(size) - size)


def _pieces(content: FileContent) -> Iterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(content), _PIECE):
        yield bytes(view[start : start + _PIECE])


def _end(size: int) -> int:
    """The size of a tar of `size` bytes with its two empty blocks, in whole records."""
    records = -(-(size + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE)
    return records * tarfile.RECORDSIZE
