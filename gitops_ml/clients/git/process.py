"""How the git program is run: with a known environment, without prompts or hooks, and never longer than
allowed.

Two ways: one process per command, and one long-lived `git cat-file --batch` for objects, since a pass reads
hundreds of them and a process costs 3 ms each. GitPython would do the same through the same program, but
importing it takes 60 ms, a tenth of what a pass over 50 deployments may take.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from gitops_ml.errors import SourceError

# What a caller's own git command (a hook, `git rebase --exec`) exports, and what would point ours elsewhere.
# fmt: off
_LOCAL_VARIABLES = frozenset([
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE",
    "GIT_INDEX_VERSION", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS", "GIT_QUARANTINE_PATH", "GIT_EDITOR", "GIT_SEQUENCE_EDITOR", "GIT_EXTERNAL_DIFF",
    "GIT_DEFAULT_HASH", "GIT_REFLOG_ACTION", "GIT_TRACE", "GIT_TRACE2", "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_DATE",
])
# fmt: on
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
# Requests are written before the answers are read, so they must fit into a pipe that git has just drained.
_PIPE_BYTES = 32 * 1024
_NETWORK = frozenset({"fetch", "push", "ls-remote"})
QUICK = 60.0


class Done(NamedTuple):
    """What a git command gave: exit code (-1: it did not end in time), output, and messages."""

    code: int
    out: bytes
    messages: str

    @property
    def text(self) -> str:
        return self.out.decode("utf-8", "surrogateescape").strip()


class Object(NamedTuple):
    """One Git object.

    `data` is None when it is larger than the reader's limit; `size` is in bytes all the same.
    """

    id: str
    type: str
    size: int
    data: bytes | None


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for git: the caller's identity and credentials, but not the caller's repository."""
    env = {key: value for key, value in os.environ.items() if key not in _LOCAL_VARIABLES}
    env |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    return env | dict(extra or {})


def _quiet_ssh(config: Mapping[str, str]) -> dict[str, str]:
    """What keeps ssh from asking on the terminal, which it does whatever git is told; the user's own choice stands."""
    if os.environ.keys() & {"GIT_SSH", "GIT_SSH_COMMAND"} or "core.sshcommand" in config:
        return {}
    return {"GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=15"}


def redact(text: str) -> str:
    """`text` without the user names and tokens of the URLs in it."""
    return _CREDENTIALS.sub("***", text)


class Git:
    """The git program in one repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: Callable[[], Mapping[str, str]] = dict
        """What the repository is configured to; asked before the network is."""
        self._reader: subprocess.Popen[bytes] | None = None
        self._translate_errors = threading.Lock()

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = QUICK,
        hooks: bool = False,
        folder: Path | None = None,
    ) -> Done:
        """One git command. It never raises for what git says: the caller knows what a failure means.

        Args:
            timeout: in seconds; then git and what it started (ssh, a credential helper) are killed.
            hooks: whether the user's hooks run; only where the user asked for the very thing that they guard.

        Raises:
            SourceError: there is no git.
        """
        remote = _NETWORK.intersection(arguments)
        command = ["git", *([] if hooks else ["-c", "core.hooksPath=/dev/null"]), *arguments]
        try:
            process = subprocess.Popen(
                command,
                cwd=folder or self.folder,
                env=environment((_quiet_ssh(self.config()) if remote else {}) | dict(env or {})),
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                process_group=0,
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _no_git(self.folder) from error
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            return Done(-1, b"", f"git {arguments[0]} did not end within {timeout:g} s")
        except BaseException:
            _kill_group(process)
            raise
        return Done(process.returncode, out, redact(err.decode("utf-8", "replace").strip()))

    def must(self, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Done:
        """One git command that only a broken repository can make fail. Raises SourceError when it does."""
        done = self.run(*arguments, stdin=stdin, env=env)
        if done.code != 0:
            raise SourceError(
                f"git {arguments[0]} failed in {self.folder}",
                why=done.messages[-400:] or f"exit {done.code}",
                fix=f"git -C {self.folder} fsck",
            )
        return done

    def read(self, names: Iterable[str], limit: int | None = None) -> Iterator[Object | None]:
        """The objects that `names` name, in their order; None for each that does not exist.

        Args:
            limit: objects larger than this many bytes come without their data.
        """
        chunk: list[str] = []
        waiting = 0
        for name in names:
            # A line is a request: what holds a line end, or nothing at all, names no object.
            if "\n" in name or not name:
                yield from self._ask(chunk, limit)
                chunk, waiting = [], 0
                yield None
                continue
            length = len(name.encode("utf-8", "surrogateescape")) + 1
            if chunk and waiting + length > _PIPE_BYTES:
                yield from self._ask(chunk, limit)
                chunk, waiting = [], 0
            chunk.append(name)
            waiting += length
        yield from self._ask(chunk, limit)

    def read_one(self, name: str, limit: int | None = None) -> Object | None:
        """The object that `name` names, or None."""
        return next(iter(list(self.read([name], limit))), None)

    def close(self) -> None:
        """End the long-lived reader. Reading again starts another."""
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(OSError):
                reader.communicate(timeout=5)

    def _ask(self, names: list[str], limit: int | None) -> list[Object | None]:
        if not names:
            return []
        with self._translate_errors:  # deployments are brought up side by side, and the reader has one pipe
            return self._answers(names, limit)

    def _answers(self, names: list[str], limit: int | None) -> list[Object | None]:
        lines = "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")
        for attempt in (1, 2):
            reader = self._start() if self._reader is None or self._reader.poll() is not None else self._reader
            assert reader.stdin is not None and reader.stdout is not None
            try:
                reader.stdin.write(lines)
                reader.stdin.flush()
                return [self._answer(reader.stdout, limit) for _ in names]
            except (BrokenPipeError, EOFError) as error:
                reader.kill()
                reader.communicate()
                self._reader = None
                if attempt == 2:
                    raise SourceError(
                        f"git cannot read objects in {self.folder}",
                        why="git cat-file ended in the middle of an answer",
                        fix=f"git -C {self.folder} fsck",
                    ) from error
            except BaseException:
                # Interrupted in the middle of an answer: what follows in the pipe belongs to nobody.
                reader.kill()
                reader.communicate()
                self._reader = None
                raise
        return []

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            self._reader = subprocess.Popen(
                ["git", "cat-file", "--batch"],
                cwd=self.folder,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C on the terminal must not end it: what is being recorded then still reads objects.
                process_group=0,
            )
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _no_git(self.folder) from error
        return self._reader

    @staticmethod
    def _answer(pipe: IO[bytes], limit: int | None) -> Object | None:
        head = pipe.readline()
        if not head.endswith(b"\n"):
            raise EOFError
        words = head.split()
        if words[-1] in (b"missing", b"ambiguous") or len(words) < 3 or not words[-1].isdigit():
            return None
        size = int(words[-1])
        data: bytes | None = None
        if limit is None or size <= limit:
            data = pipe.read(size)
            if len(data) != size:
                raise EOFError
        else:
            left = size
            while left:
                skipped = len(pipe.read(min(left, 1 << 20)))
                if not skipped:
                    raise EOFError
                left -= skipped
        if pipe.read(1) != b"\n":
            raise EOFError
        return Object(words[0].decode(), words[1].decode(), size, data)


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=5)


def _no_git(folder: Path) -> SourceError:
    if not folder.is_dir():
        return SourceError(f"{folder} is no folder", fix="name the folder of a Git clone")
    return SourceError("there is no git on this machine", fix="apt-get install git")
