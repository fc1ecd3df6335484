"""The lock of one environment: a container that is made and never started.

The engine lets one container have a name, so making it is atomic. Its labels name the holder; the engine's own clock
decides when it expires. It is broken by its unique ID, never by its name: breaking one that somebody else has just made
is then impossible. A holder that was killed on this machine is known to be dead, and its lock is broken at once. So is
a lock that this process has let go of while the engine could not be reached.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.types import NameTaken
from gitops_ml.core.generation import LABEL, ContainerSpec, owner_labels, scoped
from gitops_ml.errors import LockHeld, LockLost

TTL = 900.0
_TRIES = 5
_held_here: set[str] = set()
"""The tokens of the locks that this process holds."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock. `machine` tells kernels and process namespaces apart; `started` is the process's own start."""

    who: str
    machine: str
    pid: int
    started: str
    command: str

    def dead(self, here: Holder) -> bool:
        """Whether this is a process of the same machine that is no more."""
        return bool(self.machine) and self.machine == here.machine and self.started != _started(self.pid)

    def same_process(self, here: Holder) -> bool:
        """Whether this is the process `here`."""
        own = (here.machine, here.pid, here.started)
        return bool(self.machine) and (self.machine, self.pid, self.started) == own


def this_process() -> Holder:
    """The holder that this process is."""
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
    """One environment, held. Make it with `acquire`, use it as a context manager."""

    def __init__(self, engine: Engine, container: str, name: str, token: str) -> None:
        self._engine = engine
        self._token = token
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
        """Take the lock for at most `ttl` seconds.

        `image` is any that the engine has. Raises `LockHeld`, which names the holder, its age and how to break it.
        """
        here = holder or this_process()
        name = scoped(project, environment, "lock")
        token = secrets.token_hex(8)
        told = {
            LABEL + "holder": here.who,
            LABEL + "machine": here.machine,
            LABEL + "pid": str(here.pid),
            LABEL + "started": here.started,
            LABEL + "command": here.command,
            LABEL + "expires": str(ttl),
            LABEL + "token": token,
        }
        labels = {**owner_labels(project, environment, "lock"), **told}
        spec = ContainerSpec(name=name, image=image, labels=labels, network=None, restart="no")
        _held_here.add(token)
        try:
            return cls(engine, _take(engine, spec, here, project, environment), name, token)
        except BaseException:
            _held_here.discard(token)  # also where the engine made the lock and its answer was lost
            raise

    def check(self) -> None:
        """Raises `LockLost` when this lock, by its ID, is no longer there. One quick call; before each mutation."""
        if self._engine.inspect_container(self.id) is None:
            raise LockLost(
                f"the lock {self.name} went while we held it",
                why="it expired, or somebody broke it",
                fix="run it again; what was done so far stands",
            )

    def release(self) -> None:
        """Let go of the lock. Where the engine cannot be reached, the next pass of this process removes it."""
        _held_here.discard(self._token)
        self._engine.remove(self.id)

    def __enter__(self) -> Lock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _take(engine: Engine, spec: ContainerSpec, here: Holder, project: str, environment: str) -> str:
    """Make the lock's container, once what stands in its place may be removed, and return its ID."""
    for _ in range(_TRIES):
        try:
            return engine.create(spec)
        except NameTaken as taken:
            found = engine.inspect_container(spec.name)
            if found is None:
                continue
            if not _gone(engine, found, here):
                raise _held(engine, found, project, environment) from taken
            engine.remove(found["Id"])
    raise LockHeld(f"the lock of {project} {environment} changes hands all the time", fix="try again")


def break_lock(engine: Engine, project: str, environment: str, container: str) -> bool:
    """Remove the lock with this ID (or its first 12 digits or more); False when there is no such lock."""
    found = engine.inspect_container(scoped(project, environment, "lock"))
    if not found or len(container) < 12 or not found["Id"].startswith(container):
        return False
    engine.remove(found["Id"])
    return True


def clear_dead(engine: Engine, project: str, environment: str) -> None:
    """Remove a lock that nobody holds any more."""
    found = engine.inspect_container(scoped(project, environment, "lock"))
    if found and _gone(engine, found, this_process()):
        engine.remove(found["Id"])


def _gone(engine: Engine, found: dict[str, Any], here: Holder) -> bool:
    """Whether a lock may be broken: its time is up by the engine's clock, or its holder is dead or has let go of it."""
    labels = found["Config"]["Labels"] or {}
    if _age(engine, found) > float(labels.get(LABEL + "expires") or TTL):
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


def _held(engine: Engine, found: dict[str, Any], project: str, environment: str) -> LockHeld:
    labels = found["Config"]["Labels"] or {}
    holder = _holder(labels)
    expires = float(labels.get(LABEL + "expires") or TTL)
    return LockHeld(
        f"{project} {environment} is held by {holder.who} for {_age(engine, found):.0f} s",
        why=f"`{holder.command}`; the lock expires after {expires:.0f} s",
        fix=f"wait, or `gitops-ml sync {environment} --break-lock {found['Id'][:12]}`",
    )


def _age(engine: Engine, found: dict[str, Any]) -> float:
    """In seconds, both ends by the engine's clock."""
    # The engine writes nanoseconds, of which Python takes six digits.
    created = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", found["Created"]))
    return (engine.info().now - created.astimezone(UTC)).total_seconds()


def _machine() -> str:
    """This boot of this machine, and this process namespace; empty where the system does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """The start of a process in ticks since boot, so that a reused number is not taken for it; empty when none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return stat.rpartition(")")[2].split()[19]
