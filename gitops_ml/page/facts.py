"""What the page shows, gathered before anything is drawn: Git's records, and what the host answered where it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

import msgspec

from gitops_ml.core.declaration.schema import Deployment, Hold
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.records.record import Record, RecordedAttempt


class CommitFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One commit: who made it, when (UTC), and its subject."""

    author: str
    at: datetime
    subject: str


class Origin(NamedTuple):
    """One step of a lineage. `kind` is what stands there, such as `tag`; `details` are lines about it."""

    kind: str
    title: str
    details: tuple[str, ...] = ()


class DeploymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment of one environment.

    Args:
        declared: its declaration; None if the commit has none, or a broken one.
        broken: what is wrong with the declaration.
        status: where it stands on the host; None if the host did not answer.
        record: what Git says of it; None before its first verdict.
        attempts: all attempts that Git's records hold, the newest first.
        lineage: from the container to the data; empty if nothing serves.
    """

    environment: str
    name: str
    declared: Deployment | None = None
    broken: str = ""
    status: DeploymentStatus | None = None
    record: Record | None = None
    attempts: tuple[RecordedAttempt, ...] = ()
    lineage: tuple[Origin, ...] = ()

    @property
    def verdict(self) -> str:
        """The verification state: the host's, else that of the record."""
        if self.status:
            return self.status.verification
        return self.record.verdict if self.record else "Unverified"

    @property
    def version(self) -> str:
        """The version that serves; without one, the declared version."""
        if self.status:
            return self.status.version
        if self.record and self.record.serving:
            return self.record.serving.version
        return self.declared.version if self.declared else ""

    @property
    def model(self) -> str:
        if self.status:
            return self.status.model
        return self.declared.model if self.declared else ""

    def hold(self, now: datetime) -> Hold | None:
        """The hold that is in force."""
        hold = self.declared.hold if self.declared else None
        return None if hold and hold.until is not None and hold.until <= now else hold


class EnvironmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One environment. `unanswered` says why the host's state is not known; empty if it is."""

    name: str
    commit: str
    engine: str
    unanswered: str = ""
    deployments: tuple[DeploymentFacts, ...] = ()


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown. `at` is when it was gathered; `commits` by id, as far as this clone has them.

    `unreadable`: what is wrong with an environment that cannot be shown, by its name.
    """

    project: str
    commit: str
    at: datetime
    environments: tuple[EnvironmentFacts, ...] = ()
    commits: Mapping[str, CommitFacts] = {}
    unreadable: Mapping[str, str] = {}

    @property
    def deployments(self) -> Iterator[DeploymentFacts]:
        """The deployments of all environments."""
        for environment in self.environments:
            yield from environment.deployments
