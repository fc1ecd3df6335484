"""`retrain:` in params.yaml: which model to retrain for which deployment, its gate, and how often a day.

The section is beside the stages' parameters, since whoever changes how a model is trained reviews it too.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gitops_ml.clients.files.yaml_edit import load
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.verification.gate import Gate
from gitops_ml.errors import InputError
from gitops_ml.suggest import did_you_mean

PARAMS = "params.yaml"
SECTION = "retrain"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section. A null `deployment` is named like the model; `step` is the part of the version to raise."""

    model: str
    gate: Gate
    deployment: str | None = None
    environment: str = "dev"
    max_per_day: Annotated[int, Meta(ge=0)] = 2
    step: Literal["major", "minor", "patch"] = "minor"

    @property
    def name(self) -> str:
        """The deployment's name."""
        return self.deployment or self.model


def read_policy(repo: Repository, commit: str) -> Policy:
    """The policy at a commit. Raises `InputError` if it is missing or malformed."""
    section = _section(repo, commit)
    if section is None:
        raise InputError(
            f"{PARAMS} has no section `{SECTION}` at commit {commit[:12]}",
            why="it names the model to retrain, and its gate",
            fix=f"add `{SECTION}: {{model: …, gate: {{data: …, metrics: {{…}}}}}}`, see docs/retraining.md",
        )
    try:
        policy = msgspec.convert(section, Policy)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{PARAMS}: section `{SECTION}` cannot be used", why=_reason(str(error)), fix=f"edit {PARAMS}"
        ) from error
    if not policy.gate.metrics:
        raise InputError(
            f"{PARAMS}: {SECTION}.gate names no metrics",
            why="a gate without bounds passes every model",
            fix="write metrics such as {roc_auc: {max_drop: 0.01}}",
        )
    return policy


def gate_of(repo: Repository, commit: str) -> Gate:
    """The gate at a commit; the default gate if there is no section."""
    return read_policy(repo, commit).gate if _section(repo, commit) is not None else Gate()


def _section(repo: Repository, commit: str) -> Any:
    data = repo.read_file(commit, PARAMS)
    document = load(data, PARAMS) if data is not None else None
    return document.get(SECTION) if isinstance(document, dict) else None


def _reason(message: str) -> str:
    unknown = re.search(r"unknown field `(.+?)`", message)
    keys = {*Policy.__struct_fields__, *Gate.__struct_fields__, "min", "max", "max_drop"}
    advice = did_you_mean(unknown[1], keys) if unknown else ""
    return f"{message}; {advice}" if advice else message
