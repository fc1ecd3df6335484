"""Ending a process together with all that it has started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import Any


def kill_group(process: subprocess.Popen[Any]) -> None:
    """Kill a process and its process group. The process must lead a group of its own (`process_group=0`).

    Also after its orderly end: what the process has left running ends too.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
