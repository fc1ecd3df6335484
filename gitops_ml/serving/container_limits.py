"""What the container may use of CPU and memory, and the process kept within it.

A process that outgrows its container's memory is killed with every request in it. So the server bounds what it holds at
once (`Limits`), and a request that still needs more gets a MemoryError, which is the answer to that one request.
"""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Mapping
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_PAGE = resource.getpagesize()
_UNTOUCHED = 0.9
"""Share of the free memory that the process may allocate; buffers of the kernel count too."""
_CALLERS = 2
"""Threads that call the model and have not yet when the limit is set: those for small and for large requests."""


def limit_threads(env: os._Environ[str] | dict[str, str]) -> None:
    """Set the thread variables that are not set to the number of CPUs; numeric libraries read them at import."""
    for name in THREAD_VARIABLES:
        env.setdefault(name, str(cpu_limit()))


def cpu_limit(cgroup: Path = CGROUP) -> int:
    """CPUs that this container may use, rounded up: by its cgroup's quota (version 2 or 1) and CPU affinity."""
    allowed = len(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        return max(1, min(allowed, -(-int(quota) // int(period))))
    with contextlib.suppress(OSError, ValueError):
        quota = (cgroup / "cpu/cpu.cfs_quota_us").read_text()
        period = (cgroup / "cpu/cpu.cfs_period_us").read_text()
        if int(quota) > 0:
            return max(1, min(allowed, -(-int(quota) // int(period))))
    return allowed


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes that this container may use: by its cgroup (version 2 or 1), and at most those of the machine."""
    machine = os.sysconf("SC_PHYS_PAGES") * _PAGE
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            return min(machine, int((cgroup / name).read_text()))
    return machine


def free_memory(cgroup: Path = CGROUP) -> int:
    """Bytes that this process may still take."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    return max(0, memory_limit(cgroup) - resident)


def bound_memory(free: int, env: Mapping[str, str]) -> None:
    """Let allocations beyond what is `free` now fail with MemoryError, where the kernel would kill the process.

    The limit counts a thread's stack as a whole, of which little is ever touched. So the stacks of the threads that
    numeric libraries will start come on top: OpenMP keeps a team of threads for each thread that calls it.
    """
    allocated = int(Path("/proc/self/statm").read_text().split()[5]) * _PAGE
    most = allocated + int(free * _UNTOUCHED) + _stack_bytes() * (_thread_count(env) - 1) * _CALLERS
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _stack_bytes() -> int:
    """Bytes that a new thread's stack reserves: glibc takes the limit of the main one, else 8 MiB."""
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return 8 << 20 if soft == resource.RLIM_INFINITY else soft


def _thread_count(env: Mapping[str, str]) -> int:
    """The most threads that a numeric library takes for one call."""
    named = [env.get(name, "") for name in THREAD_VARIABLES]
    return max([1, *(int(number) for number in named if number.isascii() and number.isdigit())])
