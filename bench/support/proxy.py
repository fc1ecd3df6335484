"""A proxy on a Unix socket in front of the engine's socket that counts requests.

It passes bytes on unchanged, and counts a request by its first line. So it counts exactly the requests that the tool
sends, whatever library sends them.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ENGINE = "/var/run/docker.sock"
_REQUEST = re.compile(rb"(?:^|(?<=\n))(GET|HEAD|POST|PUT|DELETE) (/\S*) HTTP/1\.1\r\n")
_IDS = re.compile(r"[0-9a-f]{12,}")


class Counted:
    """Requests since the last `reset`, by what they ask for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.requests: Counter[str] = Counter()

    def reset(self) -> None:
        with self._lock:
            self.requests.clear()

    @property
    def total(self) -> int:
        return sum(self.requests.values())

    def add(self, method: str, path: str) -> None:
        asked = _IDS.sub("…", path.split("?")[0])
        with self._lock:
            self.requests[f"{method} {re.sub(r'^/v[0-9.]+', '', asked)}"] += 1


@contextlib.contextmanager
def counting(path: Path) -> Iterator[Counted]:
    """Listen at `path` for as long as the context lasts."""
    counted = Counted()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(64)
        threading.Thread(target=_accept, args=(listener, counted), daemon=True).start()
        yield counted


def _accept(listener: socket.socket, counted: Counted) -> None:
    with contextlib.suppress(OSError):
        while True:
            client = listener.accept()[0]
            engine = socket.socket(socket.AF_UNIX)
            engine.connect(ENGINE)
            threading.Thread(target=_carry, args=(client, engine, counted), daemon=True).start()
            threading.Thread(target=_carry, args=(engine, client, None), daemon=True).start()


def _carry(source: socket.socket, target: socket.socket, counted: Counted | None) -> None:
    """Hand on what comes until its end. A request's first line may come in pieces: what is unfinished is kept."""
    rest = b""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            if counted:
                seen = rest + data
                for found in _REQUEST.finditer(seen):
                    counted.add(found[1].decode(), found[2].decode())
                rest = seen[seen.rfind(b"\n") + 1 :]
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
