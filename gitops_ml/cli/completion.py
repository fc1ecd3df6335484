"""Shell completion: names of environments, deployments, models and versions, as the clone has them.

Nothing is fetched, and no engine is asked: a completion has to be there at once. Where the clone cannot be read, there
is none.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository


def environments(context: typer.Context, incomplete: str) -> list[str]:
    """The environments that the clone's tip declares, without those that were named already."""
    from gitops_ml.cli import clone_names

    named = context.params.get("environments") or ()
    names = clone_names.names_in(_clone(context), clone_names.environments)
    return [name for name in names if name.startswith(incomplete) and name not in named]


def deployments(context: typer.Context, incomplete: str) -> list[str]:
    """The deployments of the environment that was named, else of all environments."""
    from gitops_ml.cli import clone_names

    environment = context.params.get("environment")
    names = clone_names.names_in(_clone(context), lambda repo: clone_names.deployments(repo, environment))
    return [name for name in names if name.startswith(incomplete)]


def models(context: typer.Context, incomplete: str) -> list[str]:
    """The models that have a version, or that dvc.yaml declares."""
    from gitops_ml.cli import clone_names

    names = clone_names.names_in(_clone(context), clone_names.models)
    return [name for name in names if name.startswith(incomplete)]


def versions(context: typer.Context, incomplete: str) -> list[str]:
    """The versions of the model that was named, or of the model that the named deployment runs; the highest first."""
    from gitops_ml.cli import clone_names

    def names(repo: Repository) -> list[str]:
        model = context.params.get("model") or clone_names.model_of(
            repo, str(context.params["environment"]), str(context.params["deployment"])
        )
        return clone_names.versions(repo, model)

    return [name for name in clone_names.names_in(_clone(context), names) if name.startswith(incomplete)]


def _clone(context: typer.Context) -> Path:
    """The clone that `-C` names, behind the command or before it."""
    behind, before = context.params.get("repo"), context.find_root().params.get("repo")
    return Path(before or ".") if behind in (None, Path()) else Path(str(behind))
