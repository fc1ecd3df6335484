"""The names that shell completion offers: environments, deployments, models and versions, as the clone has them.

Apart from `completion`, so that a command line that completes nothing imports none of what reads a clone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from gitops_ml.clients.artifacts import model_paths, resolution
from gitops_ml.clients.files.environments import environment_names, full_names, read_environment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.hosts import split_full_name
from gitops_ml.core.versions.tags import version_order
from gitops_ml.errors import GitopsError


def names_in(clone: Path, read: Callable[[Repository], Iterable[str]]) -> list[str]:
    """What `read` returns for a clone: a list in its order, a set sorted. Empty if the clone cannot be read."""
    try:
        with Repository.open(clone) as repo:
            names = read(repo)
    except Exception:  # a failed completion must not write into the line that is being typed
        return []
    return list(names) if isinstance(names, list) else sorted(names)


def environments(repo: Repository) -> set[str]:
    """The environments that the clone's tip declares, and their hosts where they have several."""
    names = environment_names(repo, repo.tip())
    return {*names, *full_names(repo, repo.tip(), names)}


def deployments(repo: Repository, environment: str | None) -> set[str]:
    """The deployments of one environment, or of all."""
    return {name for each in ([environment] if environment else environments(repo)) for name in _declared(repo, each)}


def _declared(repo: Repository, environment: str) -> set[str]:
    entries = repo.entries(repo.tip(), f"environments/{split_full_name(environment)[0]}/models")
    return {name.removesuffix(".yaml") for name in entries if name.endswith(".yaml")}


def models(repo: Repository) -> set[str]:
    """The models that have a version, or that dvc.yaml declares."""
    tagged = [resolution.models(repo, local=local) for local in (True, False)]
    return {*tagged[0], *tagged[1], *model_paths.declared_models(repo, repo.resolve("HEAD"))}


def versions(repo: Repository, model: str) -> list[str]:
    """The active versions of a model, the highest first, and `latest`."""
    tagged = [resolution.models(repo, local=local).get(model) for local in (True, False)]
    active = {version.version for each in tagged if each for version in each.versions if version.active}
    return [*sorted(active, key=version_order, reverse=True), "latest"]


def model_of(repo: Repository, environment: str, deployment: str) -> str:
    """The model that a deployment runs; the deployment's own name where it is not declared yet."""
    try:
        files = read_environment(repo, repo.tip(), environment)
    except GitopsError:
        return deployment
    declaration = files.deployments.get(deployment)
    return declaration.model if declaration else deployment
