"""Gathers what the comment of a pull request says: environments and hosts, and the models whose versions change."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitops_ml.cli import render
from gitops_ml.errors import GitopsError, InputError

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

    Raises as `read_pull_request`.
    """
    import msgspec

    from gitops_ml.clients.engine.client import Engine
    from gitops_ml.control.pull_request_facts import read_pull_request
    from gitops_ml.core.pull_request.facts import deployment_changes

    request = read_pull_request(repo, *between, environments)
    pairs: dict[tuple[str, str, str], DeploymentChange] = {}
    for facts in request.environments:
        for change in deployment_changes(facts):
            if change.before and change.after and change.other_model and change.after.declaration.serve.uses_artifact:
                old, new = change.before.declaration, change.after.declaration
                pairs.setdefault((new.model, old.version, new.version), change)
    models = []
    for (model, before, after), change in pairs.items():
        render.progress(f"comparing {model} {before} with {after}")
        connect = (lambda: Engine.connect(None)) if predictions else None
        models.append(_compare(repo, (model, before, after), change, connect))
    return msgspec.structs.replace(request, models=tuple(models))


class CommentPlace(NamedTuple):
    """Where a comment is to be written: the pull request's number and the forge, as the options say them."""

    number: int | None
    forge: str | None


def post_comment(repo: Repository, place: CommentPlace) -> Callable[[PullRequest], None]:
    """Find the pull request, before anything takes long. The result writes the comment under it.

    Raises `InputError`, `ForgeRefused` and `ForgeUnavailable`.
    """
    from gitops_ml.cli.pull_request import find_own_forge
    from gitops_ml.clients.forge.find import number_in_ci
    from gitops_ml.clients.forge.posting import post
    from gitops_ml.core.pull_request.stored_comment import commit_of, marker, stored_comment

    forge = find_own_forge(repo, place.forge)
    number = place.number or number_in_ci(os.environ)
    branch = repo.checked_out
    if number is None and branch is not None:
        number = forge.find_pull_request(repo.upstream_of(branch))
    if number is None:
        raise InputError(
            f"no open pull request of {branch or 'this commit'} was found",
            why="the comment is written under one",
            fix="open it, or name it: --pull-request NUMBER",
        )

    def write(request: PullRequest) -> None:
        def text(present: str) -> str | None:
            newer = commit_of(present)
            if newer and newer != request.head and repo.is_ancestor(request.head, newer):
                return None  # another job was quicker, with a later commit
            return stored_comment(request, present)

        posted = post(forge, number, marker(request.project), text)
        render.progress(f"comment {posted.action}: {posted.url}")

    return write


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
    deployments = change.before, change.after
    old, new = (deployment.declaration for deployment in deployments)
    if old.model != new.model:
        error = f"{change.name} serves another model than before, {new.model} instead of {old.model}"
        return ModelFacts(model=model, before=before, after=after, error=error)
    # Both declarations are reviewed, and say by themselves whether a pickle may be loaded.
    asked = RowsToAsk(
        allow_pickle=old.serve.allow_pickle and new.serve.allow_pickle,
        applications={each.declaration.version: each for each in deployments if each.mapping},
    )
    try:
        return ModelFacts(
            model=model,
            before=before,
            after=after,
            difference=difference(repo, model, (before, after), connect, asked),
        )
    except GitopsError as error:
        return ModelFacts(model=model, before=before, after=after, error=str(error))
