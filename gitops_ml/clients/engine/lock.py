"""The lock of one environment: a container that does nothing.

The engine lets only one container have a name, so making the container is atomic. Its labels name the holder. The
engine's own clock decides when the lock expires: some time after the container was made, or was started last. The
holder starts it again and again while it works, so that a long build keeps its lock.

A lock is broken by its unique ID, never by its name: so nobody breaks a lock that another process has just made. A
holder that was killed on this machine is known to be dead, and its lock is broken at once. So is a lock that this
process let go of while the engine could not be reached.
"""

from __future__ import annotations

import getpass
import logging
import os
import secrets
import socket
import sys
import threading
import time
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from gitops_ml.clients import background
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.types import NameTaken
from gitops_ml.core.generation import EXPIRES, LABEL, ContainerSpec, owner_labels, scoped
from gitops_ml.errors import LockHeld, LockLost

TTL = 900.0
LONGEST = 6 * 3600.0
"""Seconds after which a lock is renewed no more: a holder that hangs must not keep others out for ever."""
_TRIES = 5
_log = logging.getLogger("gitops_ml")
_held_here: set[str] = set()
"""The tokens of the locks that this process holds."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """The process that holds a lock.

    `machine` tells kernels and process namespaces apart; `started` is the start of the process.
    """

    who: str
    machine: str
    pid: int
    started: str
    command: str

    def dead(self, here: Holder) -> bool:
        """Whether this process was on the same machine as `here`, and has ended."""
        if not self.machine or self.machine != here.machine:
            return False
        started = _started(self.pid)
        return started != self.started if started else not _exists(self.pid)

    def same_process(self, here: Holder) -> bool:
        """Whether this is the process `here`."""
        own = (here.machine, here.pid, here.started)
        return bool(self.machine) and (self.machine, self.pid, self.started) == own


def this_process() -> Holder:
    """This process as a holder."""
    pid = os.getpid()
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return Holder(
        who=f"{user}@{socket.gethostname()} pid {pid}",
        machine=_machine(),
        pid=pid,
        started=_started(pid),
        command=" ".join([Path(sys.argv[0]).name, *sys.argv[1:]])[:200],
    )


class Lock:
    """The lock of one environment while this process holds it. Make it with `acquire`; it is a context manager."""

    def __init__(self, engine: Engine, container: str, name: str, token: str, ttl: float = TTL) -> None:
        self._engine = engine
        self._token = token
        self._ttl = ttl
        self._released = threading.Event()
        self.id = container
        self.name = name

    @classmethod
    def acquire(
        cls,
        engine: Engine,
        project: str,
        environment: str,
        image: str,
        ttl: float = TTL,
        holder: Holder | None = None,
    ) -> Lock:
        """Take the lock for `ttl` seconds; as a context manager, for as long as the context is open.

        Args:
            image: any image that the engine has.

        Raises `LockHeld`, which names the holder, the lock's age and how to break it.
        """
        here = holder or this_process()
        name = scoped(project, environment, "lock")
        token = secrets.token_hex(8)
        labels = owner_labels(project, environment, "lock") | {
            LABEL + "holder": here.who,
            LABEL + "machine": here.machine,
            LABEL + "pid": str(here.pid),
            LABEL + "started": here.started,
            LABEL + "command": here.command,
            EXPIRES: str(ttl),
            LABEL + "token": token,
        }
        spec = ContainerSpec(
            name=name,
            image=image,
            labels=labels,
            network=None,
            entrypoint=("sh", "-c", ":"),
            command=(),
            restart="no",
        )
        _held_here.add(token)
        try:
            return cls(engine, _take(engine, spec, here, project, environment), name, token, ttl)
        except BaseException:
            _held_here.discard(token)  # also where the engine made the lock and its answer was lost
            raise

    def check(self) -> None:
        """Raises `LockLost` when this lock, by its ID, no longer exists. One quick call; before each mutation."""
        if self._engine.inspect_container(self.id) is None:
            raise LockLost(
                f"the lock {self.name} went while we held it",
                why="it expired, or somebody broke it",
                fix="run it again; what was done so far stands",
            )

    def release(self) -> None:
        """Let go of the lock. Where the engine cannot be reached, the next pass of this process removes it."""
        self._released.set()
        _held_here.discard(self._token)
        self._engine.remove(self.id, force=True)

    def __enter__(self) -> Lock:
        background.begin(self._renew_while_held)
        return self

    def _renew_while_held(self) -> None:
        until = time.monotonic() + LONGEST
        while not self._released.wait(self._ttl / 3) and time.monotonic() < until:
            try:
                self._engine.start(self.id, self.name)
            except Exception as error:  # the engine may answer the next time; a lock that is gone is found by `check`
                _log.info("the lock %s could not be renewed", self.name, exc_info=error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.release()
        except Exception as release_error:
            # What happened inside the lock counts. The lock goes with this process's next pass, its end, or its expiry.
            _log.warning("the lock %s is not released yet", self.name, exc_info=release_error)


def _take(engine: Engine, spec: ContainerSpec, here: Holder, project: str, environment: str) -> str:
    """Make the lock's container, and return its ID. A lock that may be broken is removed first. Raises `LockHeld`."""
    for _ in range(_TRIES):
        try:
            return engine.create(spec)
        except NameTaken as taken:
            existing = engine.inspect_container(spec.name)
            if existing is None:
                continue
            if not _may_be_broken(engine, existing, here):
                raise _lock_held(engine, existing, project, environment) from taken
            engine.remove(existing["Id"], force=True)
    raise LockHeld(f"the lock of {project} {environment} changes hands all the time", fix="try again")


def break_lock(engine: Engine, project: str, environment: str, container: str) -> bool:
    """Remove the lock with this ID (or its first 12 digits or more). False when no such lock exists."""
    existing = engine.inspect_container(scoped(project, environment, "lock"))
    if not existing or len(container) < 12 or not existing["Id"].startswith(container):
        return False
    engine.remove(existing["Id"], force=True)
    return True


def clear_dead(engine: Engine, project: str, environment: str) -> bool:
    """Remove the lock if it has expired or its holder is dead, and say whether it was removed."""
    existing = engine.inspect_container(scoped(project, environment, "lock"))
    if existing is None or not _may_be_broken(engine, existing, this_process()):
        return False
    engine.remove(existing["Id"], force=True)
    return True


def _may_be_broken(engine: Engine, lock: dict[str, Any], here: Holder) -> bool:
    """Whether the lock has expired by the engine's clock, or its holder is dead or has let go of it."""
    labels = lock["Config"]["Labels"] or {}
    if _seconds_since(engine, _renewed(lock)) > _ttl(labels):
        return True
    holder = _holder(labels)
    return holder.dead(here) or (holder.same_process(here) and labels.get(LABEL + "token") not in _held_here)


def _holder(labels: dict[str, str]) -> Holder:
    pid = labels.get(LABEL + "pid", "")
    return Holder(
        who=labels.get(LABEL + "holder", "somebody"),
        machine=labels.get(LABEL + "machine", ""),
        pid=int(pid) if pid.isdigit() else 0,
        started=labels.get(LABEL + "started", ""),
        command=labels.get(LABEL + "command", ""),
    )


def _lock_held(engine: Engine, lock: dict[str, Any], project: str, environment: str) -> LockHeld:
    labels = lock["Config"]["Labels"] or {}
    holder = _holder(labels)
    return LockHeld(
        f"{project} {environment} is held by {holder.who} for {_seconds_since(engine, _time(lock['Created'])):.0f} s",
        why=f"`{holder.command}`; the lock expires {_ttl(labels):.0f} s after its holder has died",
        fix=f"wait, or `gitops-ml sync {environment} --break-lock {lock['Id'][:12]}`",
    )


def _ttl(labels: dict[str, str]) -> float:
    try:
        return float(labels.get(EXPIRES) or TTL)
    except ValueError:
        return TTL


def _seconds_since(engine: Engine, moment: datetime) -> float:
    """By the engine's clock alone."""
    return (engine.info().now - moment).total_seconds()


def _renewed(lock: dict[str, Any]) -> datetime:
    """When the lock was made, or started last. The engine gives the year 1 for one that was never started."""
    return max(_time(lock["Created"]), _time(lock["State"]["StartedAt"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _machine() -> str:
    """This boot of this machine, and this process namespace; empty where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The start of a process, in ticks since boot; empty when no such process runs, or it is hidden from us.

    A process with a reused number has another start.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]


def _exists(pid: int) -> bool:
    """Whether a process exists, also where /proc hides those of other users (`hidepid=2`)."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is another user's
    return True
