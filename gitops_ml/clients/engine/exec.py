"""The engine's calls that reach into a container: commands and files."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from gitops_ml.clients.engine.shell import KeptShell, ShellLost
from gitops_ml.clients.engine.streams import frames, pack, unpack
from gitops_ml.clients.engine.types import ExecResult
from gitops_ml.errors import EngineFailed

SILENCE = 60.0


class InsideCalls:
    """Part of `Engine`, which has the client and translates what it raises."""

    _api: Any

    def __init__(self) -> None:
        self._shells: dict[str, KeptShell] = {}
        self._opening = threading.Lock()

    def _translate_errors(self, doing: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _or_none_if_gone(self, doing: str, call: Callable[[], Any]) -> Any:
        raise NotImplementedError

    def state(self, container: str) -> str | None:
        """`created`, `running`, `exited` …; None when it is gone."""
        raise NotImplementedError

    def exec(self, container: str, command: Sequence[str], timeout: float = SILENCE) -> ExecResult:
        """Run a command inside a running container. `timeout` is the longest silence, in seconds."""
        with self._translate_errors(f"running {command[0]} in {container[:12]}"):
            made = self._api.exec_create(container, list(command))["Id"]
            # Not the SDK's exec_start: it waits for output without any time-out.
            url = self._api._url("/exec/{0}/start", made)
            body = {"Tty": False, "Detach": False}
            with self._api._post_json(url, data=body, stream=True, timeout=timeout) as response:
                self._api._raise_for_status(response)
                stdout, stderr = frames(response.raw.read())
            code = self._api.exec_inspect(made)["ExitCode"]
        return ExecResult(code=-1 if code is None else code, stdout=stdout, stderr=stderr)

    def run(self, container: str, script: str, words: Sequence[str], timeout: float = SILENCE) -> ExecResult:
        """Run a script inside a running container, by a `sh` of its own; `words` are its $1, $2 …

        For one that waits for something, or may not be run twice. `timeout` is as for `exec`.
        """
        return self.exec(container, ["sh", "-c", script, "sh", *words], timeout)

    def shell(self, container: str, script: str, words: Sequence[str], timeout: float = SILENCE) -> ExecResult:
        """As `run`, but by a shell that is kept open for the next script until `close_shells`.

        For one that may be run again: when the shell is lost meanwhile, that is done.
        """
        with self._translate_errors(f"running sh in {container[:12]}"), contextlib.suppress(ShellLost):
            done = self._kept_shell(container).run(script, words, timeout)
            if done is not None:
                return done
        return self.run(container, script, words, timeout)

    def open_shell(self, container: str) -> None:
        """Have the shell that `shell` uses, before it is wanted. Raises `EngineFailed`, `EngineUnavailable`."""
        with self._translate_errors(f"running sh in {container[:12]}"):
            self._kept_shell(container)

    def has_shell(self, container: str) -> bool:
        """Whether a shell is open there already."""
        with self._opening:
            kept = self._shells.get(container)
            return kept is not None and not kept.lost

    def close_shells(self) -> None:
        """End all shells that are open. The next script opens one again."""
        with self._opening:
            for kept in self._shells.values():
                kept.close()
            self._shells.clear()

    def _kept_shell(self, container: str) -> KeptShell:
        with self._opening:
            kept = self._shells.get(container)
            if kept is None or kept.lost:
                made = self._api.exec_create(container, ["sh"], stdin=True)["Id"]
                kept = self._shells[container] = KeptShell(self._api.exec_start(made, socket=True))
            return kept

    def put(self, container: str, directory: str, files: Mapping[str, bytes]) -> None:
        """Write files below an existing directory of a container, running or not, for the user that
        containers run as.

        A name with a slash at its end is a directory. A file is not there whole at every instant: stage and
        rename.
        """
        with self._translate_errors(f"writing {directory} of {container[:12]}"):
            self._api.put_archive(container, directory, pack(files))

    def get(self, container: str, path: str) -> dict[str, bytes]:
        """The files at a path of a container, running or not: names relative to a directory, or the one file's name.

        Nothing at that path is an empty answer; no such container is an `EngineFailed`.
        """
        doing = f"reading {path} of {container[:12]}"
        with self._translate_errors(doing):
            found = self._or_none_if_gone(doing, lambda: self._api.get_archive(container, path))
            if found is not None:
                return unpack(found[0])
        if self.state(container) is None:
            raise EngineFailed(f"the engine could not do it ({doing})", why="the container is gone")
        return {}
