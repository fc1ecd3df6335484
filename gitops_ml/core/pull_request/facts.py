"""What is known of a pull request before anything is written about it: declarations, records, and what a host says."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

from gitops_ml.core.declaration.schema import Desired, ResolvedDeployment
from gitops_ml.core.declaration.windows import Window
from gitops_ml.core.generation import generation_of
from gitops_ml.core.planning.deployment_status import DeploymentStatus
from gitops_ml.core.records.record import Record
from gitops_ml.core.verification.model_difference import Difference

_FIELDS = ("model", "version", "digest", "replicas", "resources", "env", "secrets", "serve", "rollout", "verify")
_LATER = ("on_failure", "hold")


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an environment's engine says, for the declarations of the pull request.

    Args:
        statuses: where each deployment stands before anything is done.
        serving: the version that serves, by deployment; also while none of its replicas answers.
        rates: users' requests a second, by deployment, over the last `seconds`.
        refused: deployments whose removal needs a person's confirmation.
    """

    statuses: dict[str, DeploymentStatus]
    serving: dict[str, str]
    rates: dict[str, float]
    seconds: float
    refused: tuple[str, ...] = ()


class Upstream(msgspec.Struct, frozen=True, kw_only=True):
    """The environment that versions are promoted from: its records by deployment. `soak` is in seconds."""

    name: str
    soak: float
    records: dict[str, Record]


class EnvironmentChange(msgspec.Struct, frozen=True, kw_only=True):
    """One environment before and after the pull request.

    Args:
        before, after: None where it is not declared.
        error: why `after` could not be read.
        unsigned: why `after` may not be applied, where signatures are asked for.
        overrides: why a promotion overrides its rules, by deployment.
        unjudgeable: why the hold-out can never judge what is rolled out, and what fixes that, by deployment.
        host: None where the engine was not reached, for the reason `unreached`.
        now: the engine's clock, or this machine's.
    """

    name: str
    before: Desired | None
    after: Desired | None
    now: datetime
    error: str = ""
    unsigned: str = ""
    records: dict[str, Record] = {}
    upstream: Upstream | None = None
    overrides: dict[str, str] = {}
    unjudgeable: dict[str, tuple[str, str]] = {}
    host: HostFacts | None = None
    unreached: str = ""

    @property
    def windows(self) -> tuple[Window, ...]:
        """When rollouts may begin after the change; at any time if empty."""
        return self.after.environment.policy.windows if self.after else ()


class ModelFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A model whose version changes, and how both versions differ; None for the reason `error`."""

    model: str
    before: str
    after: str
    difference: Difference | None = None
    error: str = ""


class PullRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the comment says. `base` and `head` are commits, `touched_records` paths that were edited."""

    project: str
    base: str
    head: str
    environments: tuple[EnvironmentChange, ...]
    models: tuple[ModelFacts, ...] = ()
    touched_records: tuple[str, ...] = ()


class DeploymentChange(msgspec.Struct, frozen=True, kw_only=True):
    """One deployment that the pull request changes.

    Args:
        before, after: None where it is not declared, or cannot be read.
        broken: what is wrong with its declaration after the change.
        fields: the changed keys of its file, each with the values before and after.
        rolls_out: a new generation is asked for, so a rollout begins.
    """

    name: str
    before: ResolvedDeployment | None
    after: ResolvedDeployment | None
    broken: str = ""
    fields: dict[str, tuple[Any, Any]] = {}
    rolls_out: bool = False

    @property
    def kind(self) -> Literal["broken", "new", "removed", "changed"]:
        if self.broken:
            return "broken"
        if self.before is None:
            return "new"
        return "removed" if self.after is None else "changed"

    @property
    def other_model(self) -> bool:
        """Whether other bytes are to be served."""
        return bool(self.before and self.after and self.before.digest != self.after.digest)


def deployment_changes(facts: EnvironmentChange) -> list[DeploymentChange]:
    """The deployments of an environment that the pull request changes, sorted by name."""
    before = facts.before.deployments if facts.before else {}
    after = facts.after.deployments if facts.after else {}
    broken_before = facts.before.broken if facts.before else {}
    broken = facts.after.broken if facts.after else {}
    changes = []
    for name in sorted({*before, *after, *broken, *broken_before}):
        old, new = before.get(name), after.get(name)
        if broken.get(name) and broken.get(name) == broken_before.get(name):
            continue  # the pull request did not break it
        fields = _changed_fields(old, new)
        if name in broken:
            changes.append(DeploymentChange(name=name, before=old, after=None, broken=broken[name]))
        elif old is None or new is None or fields or _asks(old) != _asks(new):
            rolls_out = new is not None and (old is None or _asks(old) != _asks(new))
            changes.append(DeploymentChange(name=name, before=old, after=new, fields=fields, rolls_out=rolls_out))
    return changes


def _changed_fields(old: ResolvedDeployment | None, new: ResolvedDeployment | None) -> dict[str, tuple[Any, Any]]:
    if old is None or new is None:
        return {}
    pairs = {key: (getattr(old.declaration, key), getattr(new.declaration, key)) for key in (*_FIELDS, *_LATER)}
    return {key: (msgspec.to_builtins(a), msgspec.to_builtins(b)) for key, (a, b) in pairs.items() if a != b}


def _asks(deployment: ResolvedDeployment) -> str:
    """The fingerprint of what a declaration asks for, on a host that is the same before and after."""
    return generation_of(deployment, project="", commit="", base="", serving_version=0).fingerprint
