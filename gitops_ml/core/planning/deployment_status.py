"""Where a deployment stands, as `status` and the page show it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from gitops_ml.core.declaration.windows import readable_time
from gitops_ml.core.journal.state import LastError
from gitops_ml.core.verification.verdict import Verdict

Sync = Literal["Synced", "OutOfSync"]
Health = Literal["Healthy", "Progressing", "Degraded", "Missing"]


class Replicas(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas are declared, and how many of the serving generation answer."""

    desired: int
    ready: int


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout that begins once a window of the environment opens, which happens at `until`."""

    version: str
    generation: str
    until: datetime

    @property
    def sentence(self) -> str:
        """What waits, and for what."""
        return f"{self.version} waits for the window that opens {readable_time(self.until)}"


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one deployment stands: four states that are never mixed, and a message about them.

    `error`: what the last work on it ended with, while there is still something to do. `waiting`: the rollout that
    waits for a window.
    """

    name: str
    model: str
    version: str
    digest: str
    generation: str
    sync: Sync
    health: Health
    verification: Verdict
    hold: str | None
    replicas: Replicas
    endpoint: str
    message: str = ""
    error: LastError | None = None
    waiting: Waiting | None = None
