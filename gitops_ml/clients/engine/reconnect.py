"""Connects to the last known engine in the background while Git is being fetched.

The remembered engine is a hint: the tip decides which engine is the right one, and a connection to another engine is
closed unused. Where the hint is right, opening a shell in the gateway, and the tunnel to an `ssh://` engine, takes no
time of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.clients import background
from gitops_ml.clients.cache_file import write_whole
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.declaration.hosts import split_full_name
from gitops_ml.errors import GitopsError

_PREFIX, _SUFFIX = "engine-", ".json"


class _LastEngine(msgspec.Struct, frozen=True):
    """The file's content: the engine as it was declared, and the ID of its gateway."""

    engine: str | None
    gateway: str


class Reconnection:
    """A connection that is being made to the engine declared as `url`, with a shell in its gateway."""

    def __init__(self, url: str | None, gateway: str) -> None:
        self._url = url
        self._engine: Future[Engine] = background.begin(lambda: _connect(url, gateway))

    def engine(self, url: str | None) -> Engine | None:
        """The engine if `url` declares it; else None, and the connection is closed. Raises as `Engine.connect`."""
        if url == self._url:
            return self._engine.result()
        self._engine.add_done_callback(_close)
        return None


def remember(folder: Path, environment: str, url: str | None, gateway: str) -> None:
    """Remember the engine of an environment, in a file of `folder`."""
    path, content = _file(folder, environment), msgspec.json.encode(_LastEngine(url, gateway))
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    write_whole(path, content)


def begin(folder: Path, environments: Iterable[str]) -> dict[str, Reconnection]:
    """Begin to connect to the remembered engines of these environments; of all environments if none is named."""
    remembered = [path.name[len(_PREFIX) : -len(_SUFFIX)] for path in folder.glob(f"{_PREFIX}*{_SUFFIX}")]
    wanted = set(environments)
    reconnections = {}
    for environment in remembered:
        if wanted and not wanted & {environment, split_full_name(environment)[0]}:
            continue
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            last = decode(_file(folder, environment).read_bytes(), _LastEngine)
            reconnections[environment] = Reconnection(last.engine, last.gateway)
    return reconnections


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
