"""Finds a version by a name that a person types: a tag of the clone or the remote, or any revision."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from gitops_ml.clients.artifacts.path_digests import listing, resolve_path, store_for
from gitops_ml.clients.artifacts.resolution import ResolvedVersion, read, resolve_at, resolve_version
from gitops_ml.clients.artifacts.sidecar import find_sidecar, with_sidecar
from gitops_ml.clients.artifacts.source import resolve_deployment
from gitops_ml.clients.files.environments import declared_environments, read_environment
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.versions.lineage import flatten
from gitops_ml.errors import GitopsError, VersionNotFound

READ_BYTES = 4 << 30


def find_version(repo: Repository, model: str, version: str) -> ResolvedVersion:
    """Resolve `version` of `model`. Raises `VersionError`, `SourceUnavailable`."""
    try:
        return resolve_version(repo, model, version, local=True, latest=True)
    except VersionNotFound as error:
        unknown = error
    try:
        return resolve_at(repo, model, repo.resolve(version), version)
    except VersionNotFound:
        if repo.remote is None:
            raise unknown from None
    repo.fetch(timeout=30.0)
    return resolve_version(repo, model, version, latest=True)


def artifact(repo: Repository, resolved: ResolvedVersion) -> Mapping[str, bytes]:
    """Read the files of a model, by path inside it, with those beside it in Git, at the latest as HEAD has them.

    Raises `ObjectMissing`, `ObjectCorrupt`, and `ModelRejected` as `with_sidecar`.
    """
    files = read(repo, resolved, limit=READ_BYTES)
    return with_sidecar(repo, files, find_sidecar(repo, resolved.model, resolved, repo.resolve("HEAD")))


def applications(repo: Repository, model: str) -> dict[str, ResolvedDeployment]:
    """The deployments of applications that hold a version of the model and can be asked, as HEAD has them, by version.

    An environment that cannot be read declares none.
    """
    commit = repo.resolve("HEAD")
    declared: dict[str, ResolvedDeployment] = {}
    for environment in declared_environments(repo, commit):
        with contextlib.suppress(GitopsError):
            for name, deployment in read_environment(repo, commit, environment).deployments.items():
                if deployment.model == model and deployment.serve.mapping and deployment.version not in declared:
                    with contextlib.suppress(GitopsError):
                        declared[deployment.version] = resolve_deployment(repo, commit, name, deployment)
    return declared


def files_of(repo: Repository, commit: str, path: str) -> dict[str, str]:
    """The md5 of each file of a DVC folder, by name; empty if DVC's list of them cannot be read."""
    try:
        resolved = resolve_path(repo, commit, path)
        is_folder = resolved.kind == "dvc" and resolved.is_dir
        return listing(store_for(repo, resolved), resolved) if is_folder else {}
    except GitopsError:
        return {}


def metrics(repo: Repository, commit: str) -> dict[str, float]:
    """The numbers in the metrics files that the root dvc.yaml lists at a commit, by `<file>:<dotted key>`."""
    document = load(repo.read_file(commit, "dvc.yaml") or b"", "dvc.yaml")
    numbers: dict[str, float] = {}
    for path in _metric_files(document if isinstance(document, dict) else {}):
        try:
            data = next(iter(read(repo, resolve_path(repo, commit, path)).values()))
            values = load(data, path)
        except GitopsError:
            continue
        numbers |= {f"{path}:{k}": v for k, v in flatten(values).items() if isinstance(v, int | float)}
    return numbers


def _metric_files(document: dict[str, Any]) -> list[str]:
    stages = document.get("stages") or {}
    listed = [*(document.get("metrics") or ())]
    for stage in stages.values():
        listed += (stage.get("metrics") or ()) if isinstance(stage, dict) else ()
    return [str(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in listed]
