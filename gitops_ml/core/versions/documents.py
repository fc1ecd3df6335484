"""DVC's documents as types: the parts of dvc.yaml, dvc.lock and .dvc files that versions are read from.

The schemas are DVC's (`dvc.schema`). Other keys are ignored.
"""

from __future__ import annotations

from typing import Any

import msgspec


class CloudFile(msgspec.Struct, frozen=True):
    """One file of a folder in a cloud-versioned remote."""

    relpath: str = ""
    md5: str | None = None


class Entry(msgspec.Struct, frozen=True):
    """One dependency or output. `md5` is hexadecimal, with `.dir` at its end for a folder; `size` is in bytes.

    Args:
        hash: `md5` if DVC 3 wrote the entry; absent if DVC 2 did.
        cloud, files: where a cloud-versioned remote has the bytes.
        repo: the other repository that an import comes from.
        fs_config: options for the storage that `dvc import-url` reads.
        cache, remote, push: only in .dvc files, about their output.
    """

    path: str = ""
    md5: str | None = None
    size: int | None = None
    hash: str | None = None
    etag: str | None = None
    cloud: Any = None
    files: list[CloudFile] | None = None
    repo: Any = None
    fs_config: Any = None
    cache: bool = True
    remote: str | None = None
    push: bool = True


class LockedStage(msgspec.Struct, frozen=True):
    """One stage of a dvc.lock. `params` are values by file and dotted key."""

    deps: list[Entry] | None = None
    outs: list[Entry] | None = None
    params: dict[str, dict[str, Any]] | None = None


class DvcLock(msgspec.Struct, frozen=True):
    """A dvc.lock."""

    stages: dict[str, LockedStage] | None = None


class DvcFile(msgspec.Struct, frozen=True):
    """A .dvc file."""

    outs: list[Entry] | None = None
    deps: list[Entry] | None = None
    wdir: str | None = None


class Pipeline(msgspec.Struct, frozen=True):
    """A dvc.yaml. Its stages and artifacts are read one by one, so that a broken one does not affect the others.

    `vars` are what templates take values from: names of files, or values.
    """

    stages: dict[str, Any] | None = None
    artifacts: dict[str, Any] | None = None
    vars: list[str | dict[str, Any]] | None = None
