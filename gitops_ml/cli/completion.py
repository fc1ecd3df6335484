"""Shell completion: names of environments, deployments, models and versions, as the clone has them.

Nothing is fetched, and no engine is asked: a completion has to be there at once. Where the clone cannot be read, there
is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository


def environments(context: typer.Context, incomplete: str) -> list[str]:
    """The environments that the clone's tip declares, without those that were named already."""
    named = context.params.get("environments") or ()
    return [name for name in _names(context, _environments) if name.startswith(incomplete) and name not in named]


def deployments(context: typer.Context, incomplete: str) -> list[str]:
    """The deployments of the environment that was named, else of all environments."""
    named = context.params.get("environment")

    def names(repo: Repository) -> set[str]:
        return {name for each in ([named] if named else _environments(repo)) for name in _declared(repo, each)}

    return [name for name in _names(context, names) if name.startswith(incomplete)]


def models(context: typer.Context, incomplete: str) -> list[str]:
    """The models that have a version, or that dvc.yaml declares."""
    return [name for name in _names(context, _models) if name.startswith(incomplete)]


def versions(context: typer.Context, incomplete: str) -> list[str]:
    """The versions of the model that was named, or of the model that the named deployment runs; the highest first."""

    def names(repo: Repository) -> list[str]:
        from gitops_ml.clients.artifacts import resolution
        from gitops_ml.core.versions.tags import version_order

        model = context.params.get("model") or _model_of(repo, context)
        tagged = [resolution.models(repo, local=local).get(model) for local in (True, False)]
        active = {version.version for each in tagged if each for version in each.versions if version.active}
        return [*sorted(active, key=version_order, reverse=True), "latest"]

    return [name for name in _names(context, names) if name.startswith(incomplete)]


def _names(context: typer.Context, read: Callable[[Repository], Iterable[str]]) -> list[str]:
    """What `read` finds in the clone: a list in its order, a set sorted."""
    from gitops_ml.clients.git.repository import Repository

    try:
        with Repository.open(_clone(context)) as repo:
            names = read(repo)
    except Exception:  # a failed completion must not write into the line that is being typed
        return []
    return list(names) if isinstance(names, list) else sorted(names)


def _clone(context: typer.Context) -> Path:
    """The clone that `-C` names, behind the command or before it."""
    behind, before = context.params.get("repo"), context.find_root().params.get("repo")
    return Path(before or ".") if behind in (None, Path()) else Path(str(behind))


def _environments(repo: Repository) -> set[str]:
    from gitops_ml.clients.files.environments import environment_names

    return set(environment_names(repo, repo.tip()))


def _declared(repo: Repository, environment: str) -> set[str]:
    entries = repo.entries(repo.tip(), f"environments/{environment}/models")
    return {name.removesuffix(".yaml") for name in entries if name.endswith(".yaml")}


def _models(repo: Repository) -> set[str]:
    from gitops_ml.clients.artifacts import named, resolution

    tagged = [resolution.models(repo, local=local) for local in (True, False)]
    return {*tagged[0], *tagged[1], *named.declared_models(repo, repo.resolve("HEAD"))}


def _model_of(repo: Repository, context: typer.Context) -> str:
    """The model that the named deployment runs; its own name where it is not declared yet."""
    from gitops_ml.clients.files.environments import read_environment

    deployment = str(context.params["deployment"])
    try:
        files = read_environment(repo, repo.tip(), str(context.params["environment"]))
    except GitopsError:
        return deployment
    declaration = files.deployments.get(deployment)
    return declaration.model if declaration else deployment
