"""A shell that stays open inside a container, over one connection that the engine has upgraded to a plain stream.

Each command that the engine starts costs it a new process of its runtime: some 45 ms, most of it CPU. The same command
in an open shell costs 5 ms. The shell ends with the connection, and so with this process, however that ends.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import shlex
import threading
import time
from collections.abc import Sequence
from typing import Any

from gitops_ml.clients.engine.streams import FRAME
from gitops_ml.clients.engine.types import ExecResult, TooMuchOutput


class ShellLost(Exception):
    """The shell, its container or the connection has ended."""


class KeptShell:
    """One shell, which runs one script at a time.

    Args:
        stream: the upgraded connection, as the SDK hands it out. Only its socket is used.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._socket = getattr(stream, "_sock", stream)
        self._reader = self._socket.makefile("rb")
        self._busy = threading.Lock()
        self.lost = False

    def run(self, script: str, words: Sequence[str], timeout: float, limit: int) -> ExecResult | None:
        """Run a script with `words` as its $1, $2 …; None while another thread's script is running.

        Args:
            timeout: seconds that the script may take.
            limit: bytes of output that are read.

        Raises `ShellLost`, `TimeoutError` and `TooMuchOutput`. The shell is closed then.
        """
        if not self._busy.acquire(blocking=False):
            return None
        try:
            return self._run(script, words, time.monotonic() + timeout, limit)
        except BaseException as error:
            self.close()  # later output of this script would be taken for the next one's
            if isinstance(error, OSError | ValueError) and not isinstance(error, TimeoutError):
                raise ShellLost(str(error)) from error
            raise
        finally:
            self._busy.release()

    def close(self) -> None:
        self.lost = True
        for closing in (self._reader, self._stream, self._socket):
            with contextlib.suppress(OSError):
                closing.close()

    def _run(self, script: str, words: Sequence[str], deadline: float, limit: int) -> ExecResult:
        mark = secrets.token_hex(16)
        arguments = " ".join(map(shlex.quote, words))
        command = f"( set -- {arguments}\n{script}\n) </dev/null\ncode=$?; echo {mark} >&2; echo; echo {mark} $code\n"
        end = re.compile(rf"\n{mark} (\d+)\n".encode())
        self._socket.settimeout(deadline - time.monotonic())
        self._socket.sendall(command.encode())
        output = {1: bytearray(), 2: bytearray()}
        while True:
            stream, size = FRAME.unpack(self._read(FRAME.size, deadline))
            if size + sum(map(len, output.values())) > limit:
                raise TooMuchOutput(f"a script said more than {limit:,} bytes", why="no more is read into memory")
            output.setdefault(stream, bytearray()).extend(self._read(size, deadline))
            code = end.search(output[1], max(0, len(output[1]) - 64))
            if code and output[2].endswith(f"{mark}\n".encode()):
                stdout, stderr = bytes(output[1][: code.start()]), bytes(output[2][: -len(mark) - 1])
                return ExecResult(code=int(code[1]), stdout=stdout, stderr=stderr)

    def _read(self, size: int, deadline: float) -> bytes:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the script took too long")
        self._socket.settimeout(left)
        content = self._reader.read(size)
        if len(content) < size:
            raise ShellLost("the connection has ended")
        return bytes(content)
