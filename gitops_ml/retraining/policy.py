"""`retrain:` in params.yaml: which model is retrained for whom, what it has to keep, and how often it may happen.

Beside the parameters of the stages, since whoever changes how a model is trained changes this too; the stages leave
sections of others alone.
"""

from __future__ import annotations

import difflib
import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gitops_ml.clients.files.yaml_edit import load
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.verification.gate import Gate
from gitops_ml.errors import InputError

PARAMS = "params.yaml"
SECTION = "retrain"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The section. `deployment` is named as the model where it is null; `step` is what a new version raises."""

    model: str
    gate: Gate
    deployment: str | None = None
    environment: str = "dev"
    max_per_day: Annotated[int, Meta(ge=0)] = 2
    step: Literal["major", "minor", "patch"] = "minor"

    @property
    def name(self) -> str:
        """The deployment."""
        return self.deployment or self.model


def read_policy(repo: Repository, commit: str) -> Policy:
    """The policy at a commit. Raises `InputError` when it is not there, or is none."""
    found = _section(repo, commit)
    if found is None:
        raise InputError(
            f"{PARAMS} has no section `{SECTION}` at commit {commit[:12]}",
            why="it says which model is retrained, and what it has to keep",
            fix=f"add `{SECTION}: {{model: …, gate: {{data: …, metrics: {{…}}}}}}`, see docs/retraining.md",
        )
    try:
        policy = msgspec.convert(found, Policy)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{PARAMS}: section `{SECTION}` cannot be used", why=_reason(str(error)), fix=f"edit {PARAMS}"
        ) from error
    if not policy.gate.metrics:
        raise InputError(
            f"{PARAMS}: {SECTION}.gate names no metrics",
            why="a gate without bounds lets everything through",
            fix="write metrics such as {roc_auc: {max_drop: 0.01}}",
        )
    return policy


def gate_of(repo: Repository, commit: str) -> Gate:
    """The gate at a commit; the default one where there is no section."""
    return read_policy(repo, commit).gate if _section(repo, commit) is not None else Gate()


def _section(repo: Repository, commit: str) -> Any:
    data = repo.read_file(commit, PARAMS)
    document = load(data, PARAMS) if data is not None else None
    return document.get(SECTION) if isinstance(document, dict) else None


def _reason(message: str) -> str:
    unknown = re.search(r"unknown field `(.+?)`", message)
    keys = {*Policy.__struct_fields__, *Gate.__struct_fields__, "min", "max", "max_drop"}
    nearest = difflib.get_close_matches(unknown[1], keys, n=1) if unknown else []
    return f"{message}; did you mean `{nearest[0]}`?" if nearest else message
