"""Git commands through GitPython's `repo.git`, with a known environment, without prompts or hooks, and ended in time.

GitPython's own `kill_after_timeout` sends SIGKILL, after which git's lock files stay and block the user too. So git is
started `as_process` here, and asked to end first.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import weakref
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import git

from gitops_ml.clients.git.claims import LOCKING, Claims
from gitops_ml.errors import SourceError

# A caller's own git command (a hook, `git rebase --exec`) exports these, and they would lead to its repository.
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
_OUR_VARIABLES = {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
_SETTINGS = (
    "protocol.ext.allow=never",  # `ext::` URLs run any command
    "core.fsmonitor=false",  # a program for each command, also for an index that has no files
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=30",
    # What git prints is read by us, so it has one form, whatever the user's configuration says.
    "log.showSignature=false",
    "i18n.logOutputEncoding=UTF-8",
    "core.quotePath=false",
    "column.ui=never",
    # What is pushed and fetched is what we name, and nothing beside it.
    "push.followTags=false",
    "push.recurseSubmodules=no",
    *(f"color.{kind}=never" for kind in ("ui", "advice", "push", "remote", "transport")),
)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+(?=@)")
_NETWORK = frozenset({"fetch", "push", "ls-remote"})
QUICK = 60.0
"""How long a command may take by default, in seconds."""
GRACE = 3.0
"""How long git may take to remove its lock files once it is asked to end, in seconds."""


class GitResult(NamedTuple):
    """The outcome of a git command: exit code (-1: it did not end in time), output, and messages."""

    code: int
    out: bytes
    messages: str

    @property
    def text(self) -> str:
        return self.out.strip().decode("utf-8", "surrogateescape")

    @property
    def lines(self) -> list[str]:
        """The lines of the output. Only a line feed ends one: names may hold other line separators of Unicode."""
        return self.text.split("\n") if self.text else []

    @property
    def records(self) -> list[str]:
        """The output of `-z`, split at NUL."""
        return [record for record in self.out.decode("utf-8", "surrogateescape").split("\0") if record]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a program that may call git: the caller's identity and credentials, not its repository."""
    env = {key: value for key, value in os.environ.items() if key not in _LOCAL_VARIABLES}
    return env | _OUR_VARIABLES | dict(extra or {})


def leave_callers_repository() -> None:
    """Drop the variables of a caller's git command from this process: GitPython starts from `os.environ`."""
    for name in _LOCAL_VARIABLES & os.environ.keys():
        os.environ.pop(name, None)


def redact(text: str) -> str:
    """`text` without the user names and tokens of the URLs in it."""
    return _CREDENTIALS.sub("***", text)


class _Running:
    """The commands that run, so that another thread, or the end of Python, can end them."""

    def __init__(self) -> None:
        self._processes: set[git.Git.AutoInterrupt] = set()
        self._starting = threading.Lock()

    def start(self, begin: Callable[[], git.Git.AutoInterrupt]) -> git.Git.AutoInterrupt:
        """Start a command and note it, as one step: `end` never misses one that has just begun."""
        with self._starting:
            process = begin()
            self._processes.add(process)
        return process

    def forget(self, process: git.Git.AutoInterrupt) -> None:
        self._processes.discard(process)

    def end(self) -> None:
        """Ask all to end."""
        started = self._starting.acquire(timeout=GRACE)
        for process in list(self._processes):
            _signal(process, signal.SIGTERM)
        if started:
            self._starting.release()


class Git:
    """The git program in one folder, run by GitPython."""

    def __init__(self, commands: git.Git, folder: Path) -> None:
        self.commands = commands
        self.folder = folder
        self.claims: Claims | None = None
        """Where commands claim their lock files; None outside of a repository."""
        self._running = _Running()
        # Also runs when Python exits: a fetch in a thread would go on alone, and keep its locks.
        weakref.finalize(self, self._running.end)
        commands.update_environment(**_OUR_VARIABLES)
        # For the commands that GitPython runs by itself. It uses the current folder if it cannot enter the
        # repository's; `-C` makes git fail instead.
        commands.set_persistent_git_options(
            C=str(folder), c=["core.hooksPath=/dev/null", *_SETTINGS], literal_pathspecs=True
        )

    @classmethod
    def at(cls, folder: Path) -> Git:
        """Git in a folder that may be outside of any repository."""
        return cls(git.Git(folder), folder)

    @cached_property
    def config(self) -> dict[str, str]:
        """Git's configuration, the last value of each key; sections and names are in lower case.

        Asked from git: GitPython's `config_reader` reads neither GIT_CONFIG_GLOBAL, GIT_CONFIG_COUNT, the system
        file of this git, nor `config.worktree`.
        """
        pairs = (record.partition("\n") for record in self.must("config", "--list", "-z").records)
        return {key: value for key, _, value in pairs}

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = QUICK,
        hooks: bool = False,
        folder: Path | None = None,
    ) -> GitResult:
        """Run one git command. A failure is in the result, not raised: the caller knows what it means.

        Args:
            timeout: in seconds; then git and what it started (ssh, a credential helper) are ended.
            hooks: run the user's hooks; only where the user asked for the very thing that they guard.

        Raises:
            SourceError: there is no git.
        """
        quiet = _quiet_ssh(self.config) if arguments[0] in _NETWORK else {}
        variables = quiet | dict(env or {})
        own_index = "GIT_INDEX_FILE" in variables
        with nullcontext() if own_index else self.claim(arguments[0], timeout) as claim:
            process = self._running.start(
                lambda: self.start(
                    *arguments, env=variables, stdin=stdin is not None, hooks=hooks, folder=folder, claim=claim
                )
            )
            try:
                out, messages = process.communicate(stdin, timeout)
            except subprocess.TimeoutExpired:
                _end(process)
                return GitResult(-1, b"", f"git {arguments[0]} did not end within {timeout:g} s")
            except BaseException:
                _end(process)
                raise
            finally:
                self._running.forget(process)
        return GitResult(process.returncode, out, redact(messages.decode("utf-8", "replace").strip()))

    def claim(self, command: str, seconds: float = QUICK) -> AbstractContextManager[int | None]:
        """Claim the lock files that `command` may take within `seconds`. Pass the descriptor to `start`."""
        return self.claims.hold(seconds) if self.claims and command in LOCKING else nullcontext()

    def must(self, *arguments: str, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> GitResult:
        """Run a git command that only a broken repository can make fail. Raises SourceError when it does."""
        result = self.run(*arguments, stdin=stdin, env=env)
        if result.code != 0:
            raise SourceError(
                f"git {arguments[0]} failed in {self.folder}",
                why=result.messages[-400:] or f"exit {result.code}",
                fix=f"git -C {self.folder} fsck",
            )
        return result

    def start(
        self,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        stdin: bool = True,
        hooks: bool = False,
        folder: Path | None = None,
        claim: int | None = None,
    ) -> git.Git.AutoInterrupt:
        """Start a git command as the head of its own process group, which Ctrl-C on the terminal does not reach.

        Raises SourceError when there is no git. The process ends when the returned object is collected.
        """
        # A user's hook may use patterns in paths, and would inherit --literal-pathspecs.
        ours = () if hooks else ("--literal-pathspecs", "-c", "core.hooksPath=/dev/null")
        chosen = (word for setting in _SETTINGS for word in ("-c", setting))
        program = self.commands.GIT_PYTHON_GIT_EXECUTABLE or "git"
        try:
            return self.commands.execute(
                [program, "-C", str(folder or self.folder), *ours, *chosen, *arguments],
                istream=subprocess.PIPE if stdin else None,
                as_process=True,
                env=env,
                shell=False,
                process_group=0,
                pass_fds=() if claim is None else (claim,),
            )
        except git.GitCommandNotFound as error:
            raise SourceError("there is no git on this machine", fix="apt-get install git") from error

    def close(self) -> None:
        """Ask the commands that run in other threads to end, and end the reader of objects."""
        self._running.end()
        self.commands.clear_cache()


def _quiet_ssh(config: Mapping[str, str]) -> dict[str, str]:
    """Keep ssh from prompting, which GIT_TERMINAL_PROMPT does not. A command that the user has chosen wins."""
    if os.environ.keys() & {"GIT_SSH", "GIT_SSH_COMMAND"} or "core.sshcommand" in config:
        return {}
    return {"GIT_SSH_COMMAND": "ssh -oBatchMode=yes -oConnectTimeout=15 -oServerAliveInterval=15"}


def _end(process: git.Git.AutoInterrupt) -> None:
    """End git and everything that it started. SIGTERM first: git then removes its lock files."""
    try:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE)  # returns once nobody holds git's pipes
    finally:
        _signal(process, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=GRACE)


def _signal(process: git.Git.AutoInterrupt, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
