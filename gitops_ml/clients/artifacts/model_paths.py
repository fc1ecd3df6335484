"""The paths of models by their names: from `artifacts:` of a dvc.yaml, else from GTO's older artifacts.yaml.

Before dvc.yaml had `artifacts:`, GTO kept them in artifacts.yaml, in the repository's root (`gto.index`). Tags of such
commits stay valid, so that file is read where dvc.yaml lacks the name.
"""

from __future__ import annotations

import contextlib
import posixpath
from typing import Any

from gitops_ml.clients.artifacts.documents import GTO_FILES
from gitops_ml.clients.artifacts.templates import read_artifacts
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.outputs import GTO_FILE, artifact_path
from gitops_ml.core.versions.tags import split_model
from gitops_ml.errors import InputError, VersionNotFound


def path_of_model(repo: Repository, commit: str, model: str) -> str:
    """The path of `model` at `commit`, relative to the repository's root.

    Raises:
        VersionNotFound: the commit declares no such model.
        InputError: the file that declares the model cannot be read, or names no path.
        VersionRefused: the path is external or outside the repository.
    """
    folder, name = split_model(model)
    file = posixpath.join(folder, "dvc.yaml")
    artifacts = read_artifacts(repo, commit, file)
    if not folder and name not in (artifacts or {}):
        older = GTO_FILES.read(repo, commit, GTO_FILE) or {}
        if name in older or (artifacts is None and older):
            file, artifacts = GTO_FILE, older
        elif artifacts is not None:
            artifacts = older | artifacts
    if artifacts is None:
        raise VersionNotFound(
            f"{model} is not declared at commit {commit[:12]}",
            why=f"that commit has no {file}, which declares artifacts:",
            fix=f"register a commit that has it: gitops-ml register {model} --rev COMMIT",
        )
    return artifact_path(artifacts, file, model, name)


def declared_models(repo: Repository, commit: str, folder: str = "") -> dict[str, str]:
    """Paths of the models that the dvc.yaml in `folder` declares at `commit`, by name; for the root GTO's file too.

    A path starts from the folder. A model without a path is left out.
    """
    older: dict[str, Any] = {}
    if not folder:
        with contextlib.suppress(InputError):  # another program's file may have this name
            older = GTO_FILES.read(repo, commit, GTO_FILE) or {}
    artifacts = older | (read_artifacts(repo, commit, posixpath.join(folder, "dvc.yaml")) or {})
    return {
        name: str(entry["path"]) for name, entry in artifacts.items() if isinstance(entry, dict) and "path" in entry
    }
