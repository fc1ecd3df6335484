"""What the engine's calls answer with, in types of ours."""

from __future__ import annotations

from datetime import datetime

import msgspec

from gitops_ml.errors import EngineFailed


class EngineInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The engine and its host. `now` is its own clock; `memory` in bytes."""

    id: str
    name: str
    version: str
    now: datetime
    cpus: int
    memory: int


class ExecResult(msgspec.Struct, frozen=True, kw_only=True):
    """How a command inside a container ended."""

    code: int
    stdout: bytes
    stderr: bytes


class NameTaken(EngineFailed):
    """A container of that name is there already."""
