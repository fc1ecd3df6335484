"""Where a deployment stands, as `status` and the page show it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from gitops_ml.core.declaration.windows import readable_time
from gitops_ml.core.journal.state import LastError
from gitops_ml.core.verification.verdict import Verdict

Sync = Literal["Synced", "OutOfSync"]
_MOST_HOSTS = 3
Health = Literal["Healthy", "Progressing", "Degraded", "Missing"]


class Replicas(msgspec.Struct, frozen=True, kw_only=True):
    """How many replicas are declared, and how many of the serving generation answer."""

    desired: int
    ready: int


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout that begins later.

    `hosts`: hosts of earlier waves, on which the version has to be Verified first. `until`: when a window of the
    environment opens; None if it only waits for hosts.
    """

    version: str
    generation: str
    until: datetime | None = None
    hosts: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """What waits, and for what."""
        if self.until:
            return f"{self.version} waits for the window that opens {readable_time(self.until)}"
        return f"{self.version} waits until it is Verified on {self._hosts}"

    @property
    def because(self) -> str:
        """The cause of waiting, as the plan prints it."""
        if self.until:
            return f"the next window opens {readable_time(self.until)}"
        return f"{self.version} is not Verified on {self._hosts} yet"

    @property
    def _hosts(self) -> str:
        more = len(self.hosts) - _MOST_HOSTS
        return ", ".join(self.hosts[:_MOST_HOSTS]) + (f" and {more} more" if more > 0 else "")


class DeploymentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where one deployment stands: four states that are never mixed, and a message about them.

    `error`: what the last work on it ended with, while there is still something to do. `waiting`: the rollout that
    begins later.
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
