"""`serving/<model>/` in Git: the files that make a model's own file servable, beside the dvc.yaml that declares it.

A team that has one file, such as `model.pkl`, writes what the file does not say (manifest, example, locked
requirements, a predictor) where a reviewer sees it, and the bytes stay in DVC. They are looked up at the version's
commit, else at the declaring one: so versions that were made before the files can be served.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping, Set
from typing import TypeVar

from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST
from gitops_ml.artifacts.model_files import REFERENCE, REQUIREMENTS
from gitops_ml.clients.artifacts import path_digests
from gitops_ml.clients.artifacts.path_digests import ResolvedPath
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.artifact import Sidecar
from gitops_ml.core.versions.tags import split_model
from gitops_ml.errors import ModelRejected, SourceError

Content = TypeVar("Content")

FOLDER = "serving"
MAX_BYTES = 16 << 20
"""Bytes of one file; the model itself belongs into DVC."""
_TEXTS = frozenset({MANIFEST, EXAMPLE, REQUIREMENTS, REFERENCE})


def sidecar_path(model: str) -> str:
    """The folder of a model's files, relative to the repository's root. Raises `InputError` for no model's name."""
    folder, name = split_model(model)
    return posixpath.join(folder, FOLDER, name)


def find_sidecar(repo: Repository, model: str, version: ResolvedPath, commit: str) -> Sidecar | None:
    """The files for `version` of `model`, as its own commit has them, else as `commit` has them.

    None where neither commit has a manifest there, and where the artifact is a folder with a manifest of its own.
    Raises as `artifact_names`.
    """
    path = sidecar_path(model)
    for each in dict.fromkeys((version.commit, commit)):
        folder = repo.entry(each, path)
        if folder is not None and folder.is_folder and repo.entry(each, f"{path}/{MANIFEST}"):
            if version.is_dir and MANIFEST in artifact_names(repo, version):
                return None
            return Sidecar(commit=each, path=path, digest=folder.id)
    return None


def artifact_names(repo: Repository, resolved: ResolvedPath) -> set[str]:
    """The names of the files in an artifact. Raises `ObjectMissing` and `ObjectCorrupt` where DVC's list is needed."""
    if not resolved.is_dir:
        return {posixpath.basename(resolved.path)}
    if resolved.kind == "git":
        files = repo.list_files(resolved.commit, resolved.path)
        return {posixpath.relpath(file, resolved.path) for file in files}
    if resolved.kind == "indirect":
        return set()
    return set(path_digests.listing(path_digests.store_for(repo, resolved), resolved))


def read_sidecar(repo: Repository, sidecar: Sidecar) -> dict[str, bytes]:
    """The regular files, by their path in the folder.

    Raises:
        SourceError: the commit holds something else than the digest says.
        ModelRejected: a file is larger than `MAX_BYTES`.
    """
    folder = repo.entry(sidecar.commit, sidecar.path)
    if folder is None or folder.id != sidecar.digest:
        raise SourceError(f"{sidecar.path} of {sidecar.commit[:12]} is not what was declared", why=sidecar.digest[:12])
    contents = {}
    for path, file in repo.read_files(sidecar.commit, sidecar.path, limit=MAX_BYTES).items():
        if file.regular and file.data is None:
            raise ModelRejected(
                f"{path} has {file.size:,} bytes",
                why=f"{MAX_BYTES:,} are allowed in {FOLDER}/",
                fix=f"let DVC track it: git rm -q --cached {path} && dvc add {path}",
            )
        if file.regular and file.data is not None:
            contents[posixpath.relpath(path, sidecar.path)] = file.data
    return contents


def with_sidecar(
    repo: Repository, files: Mapping[str, Content], sidecar: Sidecar | None
) -> Mapping[str, Content | bytes]:
    """The files of an artifact with those beside it, which say what they mean.

    Raises as `read_sidecar` and `require_apart`.
    """
    if sidecar is None:
        return files
    beside = read_sidecar(repo, sidecar)
    require_apart(files.keys(), beside.keys())
    return {**files, **beside}


def require_apart(names: Set[str], beside: Set[str]) -> None:
    """Raise `ModelRejected` where another file than the four texts beside an artifact has the name of a file in it.

    Which of the two were loaded would be a guess.
    """
    twice = sorted((names & beside) - _TEXTS)
    if twice:
        raise ModelRejected(
            f"{FOLDER}/ and the artifact both hold {', '.join(twice)}",
            why="only one of them can be served",
            fix=f"remove it from {FOLDER}/, and commit",
        )
