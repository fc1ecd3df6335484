"""The engine's calls that reach into a container: commands and files."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from gitops_ml.artifacts.content import FileContent
from gitops_ml.clients.engine.shell import KeptShell, ShellLost
from gitops_ml.clients.engine.streams import bounded, packed, split_frames, unpack
from gitops_ml.clients.engine.types import ExecResult
from gitops_ml.errors import EngineFailed

SECONDS = 60.0
LIMIT = 256 << 20
"""Bytes of output, or of files, that one call reads into memory."""
_CHUNK = 1 << 16


class ExecCalls:
    """Part of `Engine`, which has the client and translates the client's errors."""

    _api: Any

    def __init__(self) -> None:
        self._shells: dict[str, KeptShell] = {}
        self._opening = threading.Lock()

    def _translate_errors(self, doing: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _or_none_if_gone(self, doing: str, call: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def state(self, container: str) -> str | None:
        """`created`, `running`, `exited` …; None when the container is gone."""
        raise NotImplementedError

    def exec(self, container: str, command: Sequence[str], timeout: float = SECONDS, limit: int = LIMIT) -> ExecResult:
        """Run a command inside a running container.

        Args:
            timeout: seconds that the command may take.
            limit: bytes of output that are read.

        Raises `EngineFailed`, `EngineUnavailable` after the time-out, and `TooMuchOutput`.
        """
        doing = f"running {command[0]} in {container[:12]}"
        deadline = time.monotonic() + timeout
        with self._translate_errors(doing):
            exec_id = self._api.exec_create(container, list(command))["Id"]
            # The SDK's own exec_start waits for output without any time-out.
            url = self._api._url("/exec/{0}/start", exec_id)
            body = {"Tty": False, "Detach": False}
            with self._api._post_json(url, data=body, stream=True, timeout=timeout) as response:
                self._api._raise_for_status(response)
                chunks = iter(partial(response.raw.read1, _CHUNK), b"")
                stdout, stderr = split_frames(b"".join(bounded(chunks, limit, doing, deadline)))
            code = self._api.exec_inspect(exec_id)["ExitCode"]
        return ExecResult(code=-1 if code is None else code, stdout=stdout, stderr=stderr)

    def exec_script(
        self, container: str, script: str, words: Sequence[str], timeout: float = SECONDS, limit: int = LIMIT
    ) -> ExecResult:
        """Run a shell script inside a running container, in a new `sh`; `words` are its $1, $2 …

        For a script that waits, or that may not be run twice. `timeout` and `limit` are as for `exec`.
        """
        return self.exec(container, ["sh", "-c", script, "sh", *words], timeout, limit)

    def exec_in_shell(
        self, container: str, script: str, words: Sequence[str], timeout: float = SECONDS, limit: int = LIMIT
    ) -> ExecResult:
        """As `exec_script`, but in a shell that stays open for the next script until `close_shells`.

        For a script that may be run twice: the script is run again if the shell is lost meanwhile.
        """
        with self._translate_errors(f"running sh in {container[:12]}"), contextlib.suppress(ShellLost):
            result = self._kept_shell(container).run(script, words, timeout, limit)
            if result is not None:
                return result
        return self.exec_script(container, script, words, timeout, limit)

    def open_shell(self, container: str) -> None:
        """Open the shell of `exec_in_shell` ahead of its first use. Raises `EngineFailed`, `EngineUnavailable`."""
        with self._translate_errors(f"running sh in {container[:12]}"):
            self._kept_shell(container)

    def has_shell(self, container: str) -> bool:
        """Whether a shell is open in a container."""
        with self._opening:
            shell = self._shells.get(container)
            return shell is not None and not shell.lost

    def close_shells(self) -> None:
        """Close all open shells. The next script opens a shell again."""
        with self._opening:
            for shell in self._shells.values():
                shell.close()
            self._shells.clear()

    def _kept_shell(self, container: str) -> KeptShell:
        with self._opening:
            shell = self._shells.get(container)
            if shell is None or shell.lost:
                exec_id = self._api.exec_create(container, ["sh"], stdin=True)["Id"]
                shell = self._shells[container] = KeptShell(self._api.exec_start(exec_id, socket=True))
            return shell

    def put(
        self, container: str, directory: str, files: Mapping[str, FileContent], *, executable: bool = False
    ) -> None:
        """Write files below an existing directory of a container, running or not. Our containers' user owns them.

        A name that ends in a slash is a directory. A reader may meet a half-written file: stage and rename.
        """
        with self._translate_errors(f"writing {directory} of {container[:12]}"):
            self._api.put_archive(container, directory, packed(files, 0o755 if executable else 0o644))

    def get(self, container: str, path: str, limit: int = LIMIT) -> dict[str, bytes]:
        """The files at a path of a container, running or not: by name relative to a directory, or by the file's name.

        Empty if nothing is at that path. Raises `EngineFailed` if the container is gone, and `TooMuchOutput`.
        """
        doing = f"reading {path} of {container[:12]}"
        with self._translate_errors(doing):
            archive = self._or_none_if_gone(doing, lambda: self._api.get_archive(container, path))
            if archive is not None:
                return unpack(bounded(archive[0], limit, doing))
        if self.state(container) is None:
            raise EngineFailed(f"the engine answered with an error ({doing})", why="the container is gone")
        return {}
