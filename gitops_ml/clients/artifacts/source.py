"""From a Git repository to the desired state of one environment: the tip, its files, and what its versions hold."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import msgspec

from gitops_ml.artifacts.content import FileContent
from gitops_ml.clients.artifacts import path_digests, resolution
from gitops_ml.clients.artifacts.sidecar import find_sidecar, with_sidecar
from gitops_ml.clients.files.applications import find_application
from gitops_ml.clients.files.environments import EnvironmentFiles, read_environment
from gitops_ml.clients.files.signers import require_signature
from gitops_ml.clients.git.objects import TreeFile
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.application import Application
from gitops_ml.core.declaration.artifact import Artifact
from gitops_ml.core.declaration.schema import Deployment, ResolvedDeployment
from gitops_ml.core.generation import Generation
from gitops_ml.core.planning.validation import require_plausible
from gitops_ml.errors import InputError, VersionMoved
from gitops_ml.serving.building.application import application_context

MAX_COMMIT_BYTES = 64 << 20
"""Bytes of all files of a commit that a team's own command may get, or the build of an application."""


def read_declared(repo: Repository, commit: str, environment: str) -> EnvironmentFiles:
    """The files of an environment at a commit, which is signed where the policy asks for that.

    Raises `SourceError` and `InputError` when the environment itself cannot be read.
    """
    declared = read_environment(repo, commit, environment)
    if declared.environment.policy.require_signed_commits:
        require_signature(repo, commit)
    return declared


def resolve_deployment(repo: Repository, commit: str, name: str, deployment: Deployment) -> ResolvedDeployment:
    """Look up what the version and the held-out rows of one declared deployment hold.

    Raises `VersionError` when the version does not resolve, `VersionMoved` when it no longer holds the pinned digest,
    `InputError` when the declaration, or a document of DVC's, cannot be accepted.
    """
    require_plausible(name, deployment)
    of_image = ResolvedDeployment(
        name=name, declaration=deployment, digest=deployment.serve.image or "", revision=commit, path=""
    )
    if not deployment.serve.uses_artifact:
        return of_image
    version = resolution.resolve_version(
        repo, deployment.model, deployment.version, deployment.digest, declared_at=commit
    )
    holdout = deployment.verify.holdout
    rows = path_digests.resolve_path(repo, commit, holdout.data).digest if holdout else None
    sidecar = find_sidecar(repo, deployment.model, version, commit)
    if deployment.serve.pattern == "image":
        artifact = Artifact(digest=version.digest, revision=version.commit, path=version.path, sidecar=sidecar)
        return msgspec.structs.replace(of_image, holdout=rows, artifact=artifact)
    return ResolvedDeployment(
        name=name,
        declaration=deployment,
        digest=version.digest,
        revision=version.commit,
        path=version.path,
        holdout=rows,
        sidecar=sidecar,
        application=find_application(repo, deployment, commit),
    )


class ModelSource:
    """Model artifacts and data files of a repository, by what declared them. Each is hashed and read once.

    Args:
        repo: the clone whose DVC caches and remotes hold the bytes.
    """

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._read: dict[str, dict[str, FileContent]] = {}

    def artifact(self, generation: Generation) -> Mapping[str, FileContent]:
        """The files of a generation's model, by their path inside the artifact, with those beside it in Git.

        Raises `VersionMoved` when the path no longer holds the digest, else as `resolution.fetch` and `read_sidecar`.
        """
        artifact = _artifact_of(generation)
        files = self._files(artifact.revision, artifact.path, artifact.digest)
        return with_sidecar(self._repo, files, artifact.sidecar)

    def data(self, commit: str, path: str, digest: str) -> bytes:
        """One data file as a commit pins it. Raises as `artifact`."""
        files = self._files(commit, path, digest)
        if len(files) != 1:
            raise InputError(f"{path} is a folder", why="held-out rows are one file", fix="name the file in `data:`")
        return bytes(next(iter(files.values())))

    def commit_files(self, commit: str) -> Mapping[str, bytes]:
        """The regular files that Git itself holds in a commit, by path.

        Raises `InputError` when they are more than `MAX_COMMIT_BYTES`.
        """
        files = {path: file for path, file in self._bounded_files(commit, "").items() if file.regular}
        return {path: file.data for path, file in files.items() if file.data is not None}

    def build_context(self, application: Application) -> bytes:
        """The build context (a tar) of an application: the files and links that Git holds in its folder.

        Raises as `commit_files`.
        """
        files = self._bounded_files(application.commit, application.context)
        return application_context({path: (f.mode, f.data) for path, f in files.items() if f.data is not None})

    def _bounded_files(self, commit: str, folder: str) -> dict[str, TreeFile]:
        files = self._repo.read_files(commit, folder, limit=MAX_COMMIT_BYTES)
        size = sum(file.size for file in files.values())
        if size > MAX_COMMIT_BYTES:
            raise InputError(
                f"{f'{folder} of' if folder else 'commit'} {commit[:12]} holds {size >> 20} MB of files",
                why=f"a container gets at most {MAX_COMMIT_BYTES >> 20} MB of a commit's files",
                fix="let DVC track the large ones: git rm -q --cached FILE && dvc add FILE",
            )
        return {posixpath.relpath(path, folder or "."): file for path, file in files.items()}

    def trained_on(self, generation: Generation) -> frozenset[str]:
        """The digests of all code and data in the lineage of a generation's model; empty where no stage made it.

        Raises as `artifact`, without reading bytes.
        """
        artifact = _artifact_of(generation)
        resolved = path_digests.resolve_path(self._repo, artifact.revision, artifact.path)
        made = path_digests.lineage_of(self._repo, resolved)
        return frozenset([*made.inputs.values(), *made.data.values()])

    def _files(self, commit: str, path: str, digest: str) -> dict[str, FileContent]:
        if digest not in self._read:
            resolved = path_digests.resolve_path(self._repo, commit, path)
            if resolved.digest != digest:
                raise VersionMoved(f"{path} of {commit[:12]} holds {resolved.digest}", why=f"{digest} is wanted")
            self._read[digest] = resolution.read_large(self._repo, resolved)
        return self._read[digest]


def _artifact_of(generation: Generation) -> Artifact:
    """The artifact of a generation's model. Raises `InputError` for an image without a mapping."""
    if generation.artifact is None:
        raise InputError(
            f"{generation.deployment} {generation.version} brings no artifact",
            why="it is an image, and serve has no `request:`",
            fix=f"add `request:` and `response:` to serve of {generation.deployment}",
        )
    return generation.artifact
