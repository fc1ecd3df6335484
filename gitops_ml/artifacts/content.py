"""The content of a model's files: a large one stays on disk, and only what is looked at comes into memory."""

from __future__ import annotations

import io
import mmap
import os
from pathlib import Path
from typing import IO, Any

LARGE = 16 << 20
"""Bytes from which a file is mapped instead of read; no text of an artifact may have more."""

FileContent = bytes | mmap.mmap
"""What a file holds. The kernel reads and drops the pages of a mapped one, also after the file was unlinked."""


def read_content(path: Path) -> FileContent:
    """The content of a file that nobody changes: one that is cut while it is mapped would end the process."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size <= LARGE:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def opened(content: FileContent) -> IO[bytes]:
    """The content as an open file, at its start."""
    return io.BytesIO(content) if isinstance(content, bytes) else io.BufferedReader(_MappedReader(content))


class _MappedReader(io.RawIOBase):
    """Reads a mapped file. Threads share its content, and not the place where each of them reads."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content = content
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = max(0, offset + (0, self._at, len(self._content))[whence])
        return self._at

    def readinto(self, target: Any) -> int:
        piece = self._content[self._at : self._at + len(target)]
        target[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)
