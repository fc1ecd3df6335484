"""`retrain:` in params.yaml: which model to retrain for which deployment, its gate, and how often a day.

The section is beside the stages' parameters, since whoever changes how a model is trained reviews it too.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gitops_ml.clients.files.environments import declared_environments, read_environment
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.files.yaml_scalars import DVC
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.values import label_of
from gitops_ml.core.verification.gate import Gate
from gitops_ml.errors import InputError

PARAMS = "params.yaml"
SECTION = "retrain"


class RetrainPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section. A null `deployment` is named by the DNS label nearest to the model's name.

    `step` is the part of the version to raise.
    """

    model: str
    gate: Gate
    deployment: str | None = None
    environment: str = "dev"
    max_per_day: Annotated[int, Meta(ge=0)] = 2
    step: Literal["major", "minor", "patch"] = "minor"

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.deployment or label_of(self.model)


class _Params(msgspec.Struct, frozen=True):
    """params.yaml, of which only this section is read."""

    retrain: RetrainPolicy | None = None


def read_policy(repo: Repository, commit: str) -> RetrainPolicy:
    """The policy at a commit. Raises `InputError` when it is missing or wrong."""
    policy = _policy(repo, commit)
    if policy is None:
        raise InputError(
            f"{PARAMS} has no section `{SECTION}` at commit {commit[:12]}",
            why="it names the model to retrain, and its gate",
            fix=f"add `{SECTION}: {{model: …, gate: {{data: …, metrics: {{…}}}}}}`, see docs/retraining.md",
        )
    return policy


def gate_of(repo: Repository, commit: str, model: str) -> Gate:
    """The gate at a commit; else the rows by which HEAD's declarations judge the model; else the default."""
    policy = _policy(repo, commit)
    if policy is not None:
        return policy.gate
    head = repo.resolve("HEAD")
    for name in declared_environments(repo, head):
        for deployment in read_environment(repo, head, name).deployments.values():
            holdout = deployment.verify.holdout
            if deployment.model == model and holdout is not None:
                return Gate(data=holdout.data, group=holdout.group, label=holdout.label, rows=holdout.rows)
    return Gate()


def _policy(repo: Repository, commit: str) -> RetrainPolicy | None:
    data = repo.read_file(commit, PARAMS)
    policy = parse(data, PARAMS, _Params, DVC).retrain if data is not None else None
    if policy is not None and not policy.gate.metrics:
        raise InputError(
            f"{PARAMS}: {SECTION}.gate names no metrics",
            why="a gate without bounds lets everything through",
            fix="write metrics such as {roc_auc: {max_drop: 0.01}}",
        )
    return policy
