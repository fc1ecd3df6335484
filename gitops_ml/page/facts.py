"""What the page shows, gathered before anything is drawn: Git's records, and what the host answered where it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from gitops_ml.core.declaration.schema import Deployment, Hold
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.records.record import Record, RecordedAttempt
from gitops_ml.core.verification.verdict import CheckResult


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


class RolloutFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A rollout under way. `percent` is the candidate's share of the traffic, None before it has any.

    `checks` have passed already, but for the last one where traffic is being judged: it says what is known so far.
    """

    version: str
    incumbent: str | None
    strategy: str
    started: str
    percent: int | None = None
    checks: tuple[CheckResult, ...] = ()


class DeploymentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment of one environment.

    Args:
        declared: its declaration; None if the commit has none, or a broken one.
        broken: what is wrong with the declaration.
        status: where it stands on the host; None if the host did not answer.
        record: what Git says of it; None before its first verdict.
        attempts: all settled attempts, the newest first: those of Git's records, and of the host's journal.
        rollout: the rollout under way, as far as the host answered.
    """

    environment: str
    name: str
    declared: Deployment | None = None
    broken: str = ""
    status: DeploymentStatus | None = None
    record: Record | None = None
    attempts: tuple[RecordedAttempt, ...] = ()
    rollout: RolloutFacts | None = None

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
        return hold if hold and hold.in_force(now) else None


class EnvironmentFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One environment.

    Args:
        unanswered: why the host's state is not known; empty if it is.
        looked_at: when the host was observed, by its own clock.
        trouble: why the agent cannot work on the environment; empty if it can.
    """

    name: str
    commit: str
    engine: str
    unanswered: str = ""
    looked_at: datetime | None = None
    trouble: str = ""
    deployments: tuple[DeploymentFacts, ...] = ()


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is shown. `at` is when it was gathered; `commits` by id, as far as this clone has them.

    `unreadable`: what is wrong with an environment that cannot be shown, by its name. `live`: an agent shows the page,
    which follows what happens. `notice`: what is wrong with all of it.
    """

    project: str
    commit: str
    at: datetime
    environments: tuple[EnvironmentFacts, ...] = ()
    commits: Mapping[str, CommitFacts] = {}
    unreadable: Mapping[str, str] = {}
    live: bool = False
    notice: str = ""

    @property
    def deployments(self) -> Iterator[DeploymentFacts]:
        """The deployments of all environments."""
        for environment in self.environments:
            yield from environment.deployments


Trace = Callable[[DeploymentFacts], Sequence[Origin]]
"""Where what serves in a deployment comes from, from the container to the data; empty if nothing serves."""
