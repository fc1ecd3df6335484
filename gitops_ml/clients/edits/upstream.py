"""What another environment declares and has judged, for a promotion from it."""

from __future__ import annotations

from gitops_ml.clients.artifacts.resolution import resolve_version
from gitops_ml.clients.artifacts.sidecar import find_sidecar
from gitops_ml.clients.files.environments import EnvironmentFiles
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.records.record import RecordedGeneration
from gitops_ml.errors import GitopsError, InputError


def declared_at(repo: Repository, environment: str, deployment: str, commit: str) -> str:
    """The text of a declaration at a commit that a record names. Raises `InputError` if it is not there."""
    path = declaration_path(environment, deployment)
    data = repo.read_file(commit, path)
    if data is None:
        raise InputError(
            f"{path} is not in commit {commit[:12]}",
            why="the record says that it was verified from there",
            fix=f"gitops-ml history {environment} {deployment}",
        )
    return data.decode("utf-8", "replace")


def declared_generation(repo: Repository, source: EnvironmentFiles, deployment: str) -> RecordedGeneration:
    """What the source declares, where nothing serves there yet. Its fingerprint is not known.

    Raises:
        InputError: it declares no such deployment.
        VersionError: the version does not resolve.
    """
    declared = source.deployments.get(deployment)
    if declared is None:
        raise InputError(
            f"{source.name}/{deployment} is not declared",
            why=f"declared there: {', '.join(sorted(source.deployments)) or 'none'}",
            fix=f"gitops-ml status {source.name}",
        )
    image = declared.serve.image if declared.serve.pattern == "image" else None
    digest = (
        image
        or resolve_version(repo, declared.model, declared.version, declared.digest, declared_at=source.commit).digest
    )
    return RecordedGeneration(generation="", version=declared.version, digest=digest, commit=source.commit)


def require_same_runtime(
    repo: Repository,
    source: EnvironmentFiles,
    deployment: str,
    standing: RecordedGeneration,
    then: Deployment,
    here: Deployment,
) -> None:
    """Check that `here` runs the version in the runtime where it was judged, as far as Git tells that.

    A version has one runtime, unless it is served another way, or files of `serving/` at the declaring commit say what
    it needs and have changed since.

    Args:
        then: the declaration in the source by which it was judged.

    Raises:
        InputError: the runtime is another one.
    """
    if then.serve.pattern != here.serve.pattern:
        raise InputError(
            f"serve.pattern is {here.serve.pattern}, and {then.serve.pattern} in {source.name}",
            why="a verdict on one runtime says nothing about another",
            fix=f"edit {declaration_path(source.name, deployment)} and judge it there",
        )
    if here.serve.pattern == "image":
        return
    try:
        version = resolve_version(repo, here.model, standing.version, declared_at=standing.commit)
        judged, now = (find_sidecar(repo, here.model, version, commit) for commit in (standing.commit, source.commit))
    except GitopsError:
        return  # the version's files are not in this clone: what it needs is not known here
    if judged and now and judged.digest != now.digest:
        raise InputError(
            f"{now.path} has changed since {standing.version} was judged in {source.name}",
            why=f"commit {standing.commit[:12]} had other files there than {source.commit[:12]} has",
            fix=f"gitops-ml sync {source.name}, which judges it again",
        )
