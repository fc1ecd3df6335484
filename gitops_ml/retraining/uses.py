"""Where a version of a model runs, ran or is declared, from the declarations and records of all environments."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from gitops_ml.clients.files.environments import declared_environments, read_environment
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.records.record import Record
from gitops_ml.errors import GitopsError


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """What one deployment does with a version.

    Args:
        state: `serves` by its record, else `declared` at the fetched tip, else `tried` by an earlier rollout.
        generation, outcome, verdict, at: of its last rollout; None without one. `at` is the engine's clock, ISO 8601.
    """

    environment: str
    deployment: str
    state: Literal["serves", "declared", "tried"]
    generation: str | None = None
    outcome: str | None = None
    verdict: str | None = None
    at: str | None = None


def find_uses(repo: Repository, model: str, version: str, digest: str) -> tuple[Use, ...]:
    """Every deployment that serves or declares a version, or has tried it. An unreadable environment has none."""
    return tuple(_uses(repo, (model, version, digest.removesuffix(".dir"))))


def _uses(repo: Repository, wanted: tuple[str, str, str]) -> Iterator[Use]:
    tip = repo.tip()
    for environment in declared_environments(repo, tip):
        try:
            files = read_environment(repo, tip, environment)
            records = read_records(repo, files)
        except GitopsError:
            continue
        for name in sorted({*files.deployments, *records}):
            use = _use(environment, name, files.deployments.get(name), records.get(name), wanted)
            if use is not None:
                yield use


def _use(
    environment: str, name: str, declared: Deployment | None, record: Record | None, wanted: tuple[str, str, str]
) -> Use | None:
    model, version, digest = wanted

    def same(other_version: str, other_digest: str) -> bool:
        return (other_version, other_digest.removesuffix(".dir")) == (version, digest)

    # A record names no model: a declaration of another model under this name means that its records are of that one.
    if declared is not None and declared.model != model:
        return None
    attempt = next((a for a in record.attempts if same(a.version, a.digest)), None) if record else None
    if record and record.serving and same(record.serving.version, record.serving.digest):
        state: Literal["serves", "declared", "tried"] = "serves"
    elif declared is not None and same(declared.version, declared.digest or digest):
        state = "declared"
    elif attempt is not None:
        state = "tried"
    else:
        return None
    return Use(
        environment=environment,
        deployment=name,
        state=state,
        generation=attempt.generation if attempt else None,
        outcome=attempt.outcome if attempt else None,
        verdict=attempt.verdict if attempt else None,
        at=(attempt.settled or attempt.started) if attempt else None,
    )
