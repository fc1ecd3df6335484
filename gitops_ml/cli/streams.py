"""Standard output and standard error that cannot break the work.

A rollout must not end because its reader went away (`2>&1 | head`), a disk is full or the caller closed a descriptor
(`>&-`). After `protect`, writing to `sys.stdout` or `sys.stderr` raises no `OSError`, whoever writes: a command, the
help of Typer, a library's warning.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any, TextIO, cast

_READER_GONE = {errno.EPIPE, errno.ECONNRESET}


class ProtectedStream:
    """A text stream that drops what cannot be written.

    Attributes:
        failure: the last reason why text was dropped, unless the reader had simply gone: `| head` is no failure.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write `text`, or drop it."""
        try:
            self._stream.write(text)
        except OSError as error:
            self._remember(error)
        return len(text)

    def flush(self) -> None:
        """Flush, or leave the text in the buffer: a disk that has room again gets it with the next line."""
        try:
            self._stream.flush()
        except OSError as error:
            self._remember(error)

    def _remember(self, error: OSError) -> None:
        if error.errno not in _READER_GONE:
            self.failure = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def protect() -> None:
    """Replace `sys.stdout` and `sys.stderr` by streams that raise no `OSError`.

    A closed descriptor is opened on the null device: otherwise the next file or socket that the process opens would get
    its number, and a child process would write its output into it. Characters that the terminal's encoding lacks are
    written as escapes.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
    sys.stdout = _protected(sys.stdout, 1)
    sys.stderr = _protected(sys.stderr, 2)


def lost_output() -> OSError | None:
    """Why text to stdout was dropped: a full disk, for example. None if nothing was, or nobody wanted to read it."""
    return sys.stdout.failure if isinstance(sys.stdout, ProtectedStream) else None


def _protected(stream: TextIO | None, descriptor: int) -> TextIO:
    # Python sets the stream to None where the descriptor was closed when the process started.
    if stream is None:
        stream = open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - open as long as the process
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return cast("TextIO", ProtectedStream(stream))
