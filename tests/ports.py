"""Ports for servers that tests start."""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator

_FIRST, _EACH = 12_000, 1_000
"""Below the ports that Linux takes for connections (32768 and up), so that none takes a port before its server does."""


def _mine() -> range:
    """The ports of this worker of pytest-xdist; no two workers share one."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    return range(_FIRST + worker * _EACH, _FIRST + (worker + 1) * _EACH)


# From anywhere in the range: another run on this machine begins elsewhere.
_start = random.SystemRandom().randrange(_EACH)
_ports: Iterator[int] = itertools.cycle([*_mine()[_start:], *_mine()[:_start]])


def free_port() -> int:
    """A port that is free now, and that this process has not handed out lately."""
    for port in itertools.islice(_ports, _EACH):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
