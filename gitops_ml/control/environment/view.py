"""The values of one pass that travel from step to step: the options, what was read of Git, and what was seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.git.fetch import FETCH_SECONDS
from gitops_ml.core.declaration.schema import Desired
from gitops_ml.core.journal.state import EnvironmentState
from gitops_ml.core.observed import Snapshot
from gitops_ml.core.planning import plan
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.records.record import Record
from gitops_ml.errors import GitopsError, RemovalRefused


@dataclass(frozen=True)
class Options:
    """The options of the command line that a pass obeys, and how long a fetch may take.

    `away`: hosts of the environment, by their full names, that did not answer when they were last asked.
    """

    allow_older: bool = False
    confirm_removals: bool = False
    rebind: bool = False
    retry: bool = False
    break_lock: str | None = None
    rev: str | None = None
    rebuild_journal: bool = False
    fetch_seconds: float = FETCH_SECONDS
    away: frozenset[str] = frozenset()

    def after_first_pass(self) -> Options:
        """Drop the one-shot options: `--retry`, `--break-lock` and `--rebuild-journal`."""
        return replace(self, retry=False, break_lock=None, rebuild_journal=False)


@dataclass(frozen=True)
class Source:
    """What one commit says of one environment: all that a pass reads of the clone before it looks at the host.

    `former`: records that a pass has to move to their place; see `records.read_former`.
    `tip_error`: why the tip cannot be followed. Then this is the commit that was applied last, and no rollout begins.
    `as_served`: no commit can be followed, so what serves is healed as the journal knows it. Nothing is recorded then.
    """

    files: EnvironmentFiles
    desired: Desired
    records: Mapping[str, Record]
    tip_error: GitopsError | None = None
    as_served: bool = False
    former: Mapping[str, Record] = field(default_factory=dict)

    @property
    def commit(self) -> str:
        return self.files.commit


@dataclass(frozen=True)
class View:
    """The source, the host as it was observed, and the plan that follows from both.

    `desired` is the source's desired state without the deployments that turned out to be broken on this host.
    """

    source: Source
    desired: Desired
    snapshot: Snapshot
    state: EnvironmentState
    wanted: Mapping[str, PlannedDeployment]
    plan: plan.Plan

    @property
    def records(self) -> Mapping[str, Record]:
        return self.source.records

    @property
    def engine_changed(self) -> bool:
        """Whether Git has to learn which engine this is.

        A record names another one, as after `--rebind`; or what serves on one of several hosts has no record, or the
        record is at its former path: the environment's only host has become one of several, or the other way round.
        """
        host, engine = self.source.files.host, self.snapshot.engine
        serving = {name for name, state in self.state.deployments.items() if state.serving}
        unrecorded = bool(host) and not serving <= self.records.keys()
        moved = any(not host or record.engine == engine for record in self.source.former.values())
        return unrecorded or moved or any(record.engine != engine for record in self.records.values())

    @property
    def waits_for_hosts(self) -> bool:
        """Whether a rollout waits for hosts of earlier waves."""
        return any(status.waiting and status.waiting.hosts for status in self.plan.statuses)

    @property
    def removal_refusals(self) -> Mapping[str, RemovalRefused]:
        """Why deployments that run, and that the commit no longer declares, are not removed; by name."""
        name, allowed = self.desired.full_name, self.desired.environment.policy.max_removals
        reason = f"it is the last one, or policy.max_removals ({allowed}) allows fewer removals"
        return {
            deployment: RemovalRefused(
                f"{name}/{deployment} would be removed",
                why=f"commit {self.desired.commit[:12]} no longer declares it, and {reason}",
                fix=f"gitops-ml sync {name} --confirm-removals; or, if it went by mistake, restore its file",
            )
            for deployment in self.plan.refused
        }
