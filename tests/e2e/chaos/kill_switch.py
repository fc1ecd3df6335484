"""Kills the tool, or cuts its connection, at a chosen moment of a chosen mutation of the engine or the Git remote."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, get_args

from tests.e2e.chaos.mutations import mutation_of
from tests.e2e.engine_proxy import Call, EngineProxy, Moment

MOMENTS: tuple[Moment, ...] = get_args(Moment)
When = Callable[[str, int], Moment | None]
"""Asked at each mutation, by its name and its number under that name, from 1: at which moment to kill, if at all."""
_HOOK = """#!{python} -IS
import socket, sys
with socket.socket(socket.AF_UNIX) as switch:
    switch.connect({address!r})
    switch.sendall({hook!r})
    sys.exit(switch.recv(1) == b"n")
"""


class Point(NamedTuple):
    """A moment of a mutation. `nth` tells mutations of one name apart, from 1."""

    mutation: str
    nth: int
    moment: Moment

    def __str__(self) -> str:
        return f"{self.moment} {self.mutation}" + (f" ({self.nth})" if self.nth > 1 else "")

    def moment_at(self, mutation: str, nth: int) -> Moment | None:
        """See `When`."""
        return self.moment if (mutation, nth) == (self.mutation, self.nth) else None


class EachKindOnce(dict[str, Moment]):
    """The first mutation of each kind, at one moment after the other; the kinds that were met so far."""

    def __call__(self, mutation: str, nth: int) -> Moment | None:
        if mutation in self:
            return None
        self[mutation] = MOMENTS[len(self) % len(MOMENTS)]
        return self[mutation]


def never(mutation: str, nth: int) -> None:
    """Let a run go on to its end."""


@dataclass
class KillSwitch:
    """Notes the mutations of a run, in their order, and kills the process at the moment that it is armed with.

    A Git remote tells its pushes by its hooks: before it has taken anything, and after the branch has moved.

    Args:
        kills: False only cuts the connection to the engine.
    """

    engine: Any
    folder: Path
    kills: bool = True
    mutations: list[str] = field(default_factory=list)
    fired: bool = False
    _when: When = never
    _process: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def engine_socket(self) -> Path:
        return self.folder / "engine.sock"

    @property
    def _hook_socket(self) -> Path:
        return self.folder / "hooks.sock"

    def arm(self, when: When = never) -> None:
        """Begin a run, which is killed once at most."""
        self.mutations, self.fired, self._when = [], False, when

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Stand in front of the engine, and behind the hooks of `watch`."""
        with (
            EngineProxy(self._moment_to_cut, lambda call: self._kill(call.process)).listening(self.engine_socket),
            socket.socket(socket.AF_UNIX) as listener,
        ):
            listener.bind(str(self._hook_socket))
            listener.listen()
            threading.Thread(target=self._answer_hooks, args=(listener,), daemon=True).start()
            yield
            listener.shutdown(socket.SHUT_RDWR)

    def watch(self, remote: Path) -> None:
        """Let a bare repository tell its pushes, unless only the engine is cut off."""
        if not self.kills:
            return
        for name in ("pre-receive", "post-receive"):
            hook = remote / "hooks" / name
            text = _HOOK.format(python=sys.executable, address=str(self._hook_socket), hook=name.encode())
            hook.write_text(text)
            hook.chmod(0o755)

    def _moment_to_cut(self, call: Call) -> Moment | None:
        self._process = call.process
        mutation = mutation_of(call, self.engine)
        return self._reached(mutation) if mutation else None

    def _reached(self, mutation: str) -> Moment | None:
        with self._lock:
            self.mutations.append(mutation)
            moment = None if self.fired else self._when(mutation, self.mutations.count(mutation))
            self.fired = self.fired or moment is not None
            return moment

    def _answer_hooks(self, listener: socket.socket) -> None:
        """Answer `y` to a hook whose push may go on, `n` to one that has to refuse it."""
        moment: Moment | None = None
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as hook:
                    begins = hook.recv(100) == b"pre-receive"
                    if begins:
                        moment = self._reached("push")
                    if moment and begins == (moment != "after"):
                        self._kill(self._process)
                    hook.sendall(b"n" if begins and moment == "before" else b"y")

    def _kill(self, process: int) -> None:
        """Kill a process, and wait until it is dead: afterwards nobody reads an answer."""
        if not self.kills:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
        until = time.monotonic() + 10
        while _alive(process) and time.monotonic() < until:
            time.sleep(0.002)


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
