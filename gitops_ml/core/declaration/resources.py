"""The key `resources:` of a deployment: what one replica may use."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from gitops_ml.core.declaration.values import DeclaredStruct, Size, size_bytes

_MIN_MEMORY = 6 * 1024**2
"""Docker's own minimum: https://docs.docker.com/engine/containers/resource_constraints/."""
_MAX_MEMORY = 64 * 1024**4
_MAX_CPUS = 1024
_MAX_PIDS = 4 * 1024**2
"""The most that Linux takes: https://www.kernel.org/doc/html/latest/admin-guide/sysctl/kernel.html#pid-max."""


class Resources(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits of one replica: CPU cores, memory, and processes and threads (`pids`); and how many of the host's GPUs
    it gets.
    """

    cpus: Annotated[float, Meta(ge=0.01, le=_MAX_CPUS)] = 1.0
    memory: Size = "512m"
    pids: Annotated[int, Meta(ge=16, le=_MAX_PIDS)] = 256
    gpus: Annotated[int, Meta(ge=0, le=64)] = 0

    def __post_init__(self) -> None:
        if size_bytes(self.memory) > _MAX_MEMORY:
            raise ValueError(f"`memory` is {self.memory}, and can be 65536g at most")
        if size_bytes(self.memory) < _MIN_MEMORY:
            raise ValueError(f"`memory` is {self.memory}, and no container may have less than 6m")
