"""Gathers what the comment of a pull request says: environments and hosts, and the models whose versions change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from gitops_ml.cli import render
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.core.pull_request.facts import DeploymentChange, ModelFacts, PullRequest


def describe(
    repo: Repository, between: tuple[str, str], environments: Sequence[str], *, predictions: bool
) -> PullRequest:
    """Read a pull request's change, ask the hosts, and compare the models that it changes.

    Args:
        between: the base and the head; any revisions.
        environments: only these; all, if empty.
        predictions: ask both versions of each model, in containers of the local engine or DOCKER_HOST's.

    Raises as `read_proposal`.
    """
    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.control.proposal import read_proposal
    from gitops_ml.core.pull_request.facts import deployment_changes

    request = read_proposal(repo, *between, environments)
    pairs: dict[tuple[str, str, str], DeploymentChange] = {}
    for facts in request.environments:
        for change in deployment_changes(facts):
            if change.before and change.after and change.other_model and change.after.path:
                old, new = change.before.declaration, change.after.declaration
                pairs.setdefault((new.model, old.version, new.version), change)
    models = []
    for (model, before, after), change in pairs.items():
        render.progress(f"comparing {model} {before} with {after}")
        connect = (lambda: Engine.connect(None)) if predictions else None
        models.append(_compare(repo, (model, before, after), change, connect))
    return msgspec.structs.replace(request, models=tuple(models))


def _compare(
    repo: Repository,
    versions: tuple[str, str, str],
    change: DeploymentChange,
    connect: Callable[[], Engine] | None,
) -> ModelFacts:
    from gitops_ml.core.pull_request.facts import ModelFacts
    from gitops_ml.retraining.difference import difference
    from gitops_ml.retraining.predictions import RowsToAsk

    model, before, after = versions
    assert change.before is not None and change.after is not None
    old, new = change.before.declaration, change.after.declaration
    if old.model != new.model:
        error = f"{change.name} serves another model than before, {new.model} instead of {old.model}"
        return ModelFacts(model=model, before=before, after=after, error=error)
    # Both declarations are reviewed, and say by themselves whether a pickle may be loaded.
    asked = RowsToAsk(allow_pickle=old.serve.allow_pickle and new.serve.allow_pickle)
    try:
        return ModelFacts(
            model=model,
            before=before,
            after=after,
            difference=difference(repo, model, (before, after), connect, asked),
        )
    except GitopsError as error:
        return ModelFacts(model=model, before=before, after=after, error=str(error))
