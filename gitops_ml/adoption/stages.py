"""Takes GTO's stages over: what a tag has put into a stage is declared in the environment of that name, once."""

from __future__ import annotations

from gitops_ml.clients.artifacts.resolution import models
from gitops_ml.clients.edits.bump import BumpOptions, bump
from gitops_ml.clients.edits.declarations import find_declaration
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.declaration.values import label_of

ENVIRONMENTS = {"development": "dev", "stage": "staging", "stg": "staging", "production": "prod", "prd": "prod"}
"""The environments of `init`, by other names that teams give to their stages."""


def declare_stages(repo: Repository, model: str, *, allow_pickle: bool) -> tuple[list[str], list[str]]:
    """Write a declaration of the highest version in each stage, where the environment has none of the model yet.

    Returns:
        the files that were written, and the stages that no environment is named after.
    """
    versions = models(repo, local=True).get(model)
    written: list[str] = []
    absent: list[str] = []
    taken: set[str] = set()
    for version in versions.versions if versions else ():
        for stage in version.stages if version.active else ():
            environment = ENVIRONMENTS.get(stage, stage)
            if environment in taken:
                continue  # the versions are sorted, the highest first
            taken.add(environment)
            if not (repo.root / "environments" / environment / "environment.yaml").is_file():
                absent.append(stage)
                continue
            deployment = label_of(model)
            if find_declaration(repo, environment, deployment).text is None:
                also = BumpOptions(model=model, create=True, allow_pickle=allow_pickle)
                bump(repo, environment, deployment, version.version, also)
                written.append(declaration_path(environment, deployment))
    return written, absent
