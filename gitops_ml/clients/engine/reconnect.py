"""The engine that an environment was on at the last look, met again while the source is still fetched and read.

What is kept of it is a hint, and never the truth: which engine is the right one, the tip says, and a connection to
another one is dropped unused. Where the hint holds, the time that the engine takes to let a shell into the gateway, and
an `ssh://` engine to be reached at all, passes beside what has to be done anyway.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

import msgspec

from gitops_ml.clients import background
from gitops_ml.clients.cache_file import write_whole
from gitops_ml.clients.engine.client import Engine
from gitops_ml.errors import GitopsError

_PREFIX, _SUFFIX = "engine-", ".json"


class _Met(msgspec.Struct, frozen=True):
    """The file's content: the engine as it was declared, and the ID of the gateway there."""

    engine: str | None
    gateway: str


class Reconnection:
    """A connection under way to the engine that was declared as `url`, with a shell in the gateway."""

    def __init__(self, url: str | None, gateway: str) -> None:
        self._url = url
        self._engine: Future[Engine] = background.begin(lambda: _connect(url, gateway))

    def engine(self, url: str | None) -> Engine | None:
        """The engine, if it is the one that is declared as `url`; else None, and the connection is closed.

        Raises as `Engine.connect`.
        """
        if url == self._url:
            return self._engine.result()
        self._engine.add_done_callback(_close)
        return None


def remember(folder: Path, environment: str, url: str | None, gateway: str) -> None:
    """Keep where an environment was found, in a file of `folder`."""
    path, content = _file(folder, environment), msgspec.json.encode(_Met(url, gateway))
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    write_whole(path, content)


def begin(folder: Path, environments: Iterable[str]) -> dict[str, Reconnection]:
    """Begin to reconnect to the engines of these environments, as far as they are remembered in `folder`; to all that
    are remembered where none is named.
    """
    named = list(environments) or [p.name[len(_PREFIX) : -len(_SUFFIX)] for p in folder.glob(f"{_PREFIX}*{_SUFFIX}")]
    found = {}
    for environment in named:
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            met = msgspec.json.decode(_file(folder, environment).read_bytes(), type=_Met)
            found[environment] = Reconnection(met.engine, met.gateway)
    return found


def _file(folder: Path, environment: str) -> Path:
    return folder / f"{_PREFIX}{environment}{_SUFFIX}"


def _connect(url: str | None, gateway: str) -> Engine:
    engine = Engine.connect(url)
    with contextlib.suppress(GitopsError):
        engine.open_shell(gateway)
    return engine


def _close(engine: Future[Engine]) -> None:
    with contextlib.suppress(GitopsError):
        engine.result().close()
