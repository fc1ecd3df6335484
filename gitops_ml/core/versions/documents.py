"""DVC's documents as types: dvc.yaml, dvc.lock and .dvc files, as far as versions are read from them.

The schemas are DVC's (its `dvc.schema`). Keys that are not read here are left alone.
"""

from __future__ import annotations

from typing import Any

import msgspec


class CloudFile(msgspec.Struct, frozen=True):
    """One file of a folder in a remote that keeps versions by itself."""

    relpath: str = ""
    md5: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """One dependency or output. `md5` is hexadecimal, with `.dir` at its end for a folder; `size` is in bytes.

    Args:
        hash: `md5` where DVC 3 wrote the entry; absent where DVC 2 did.
        cloud, files: where a remote that keeps versions by itself has the bytes.
        repo: the other repository that an import comes from.
        cache, remote: what a .dvc file says of its output.
    """

    path: str = ""
    md5: str | None = None
    size: int | None = None
    hash: str | None = None
    etag: str | None = None
    cloud: Any = None
    files: list[CloudFile] | None = None
    repo: Any = None
    cache: bool = True
    remote: str | None = None


class LockedStage(msgspec.Struct, frozen=True):
    """One stage of a dvc.lock. `params` are values by file and dotted key."""

    deps: list[Entry] | None = None
    outs: list[Entry] | None = None
    params: dict[str, dict[str, Any]] | None = None


class Lock(msgspec.Struct, frozen=True):
    """A dvc.lock."""

    stages: dict[str, LockedStage] | None = None


class DvcFile(msgspec.Struct, frozen=True):
    """A .dvc file."""

    outs: list[Entry] | None = None
    deps: list[Entry] | None = None
    wdir: str | None = None


class Pipeline(msgspec.Struct, frozen=True):
    """A dvc.yaml. Stages and artifacts are read one by one, so that a broken one concerns nobody else."""

    stages: dict[str, Any] | None = None
    artifacts: dict[str, Any] | None = None
