"""What the engine's calls answer, in types of ours."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gitops_ml.errors import EngineFailed


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The engine and its host. `now` is the engine's own clock; `memory` is in bytes.

    `gpus`: how many GPUs it offers; None if it offers some, and does not say how many. `containerd_store`: whether
    containerd stores the images, the default of new engines from 29 on.
    """

    id: str
    name: str
    version: str
    now: datetime
    cpus: int
    memory: int
    gpus: int | None = 0
    containerd_store: bool = False


class ExecResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a command inside a container ended."""

    code: int
    stdout: bytes
    stderr: bytes


class NameTaken(EngineFailed):
    """A container of that name exists already."""


class TooMuchOutput(EngineFailed):
    """A command, a file or a log is larger than what the caller reads into memory."""
