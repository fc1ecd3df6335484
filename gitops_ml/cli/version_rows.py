"""The rows that `versions` prints: what the user's own tags and the remote's say together.

Apart from the command, so that `gitops-ml --help` imports none of what they need.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.tags import ModelVersions, read_tags, version_order
from gitops_ml.errors import GitopsError, VersionNotFound


def version_rows(repository: Repository, only: str | None) -> list[dict[str, Any]]:
    """One row a version, of one model or of all. Raises `VersionNotFound` if `only` has no version."""
    local = resolution.models(repository, local=True)
    fetched = resolution.models(repository)
    names = sorted({*local, *fetched})
    if only is not None and only not in names:
        raise VersionNotFound(
            f"{only} has no version",
            why=f"there are versions of {', '.join(names)}" if names else "there is no version tag",
            fix=f"gitops-ml register {only}",
        )
    # An assignment of the one side may be later than that of the other.
    tags = {tag.name: tag for tag in (*repository.tags(local=True), *repository.tags())}
    merged = read_tags(tags.values())
    rows: list[dict[str, Any]] = []
    for name in names if only is None else [only]:
        stages = {version.version: version.stages for version in merged[name].versions}
        rows += _model_rows(repository, local.get(name), fetched.get(name), stages)
    return rows


def _model_rows(
    repository: Repository,
    local: ModelVersions | None,
    fetched: ModelVersions | None,
    stages: Mapping[str, tuple[str, ...]],
) -> list[dict[str, Any]]:
    """The versions of a model, from the user's own tags and from those of the remote, which win.

    Args:
        stages: GTO's stages that each version is in.
    """
    by_name = {v.version: v for model in (local, fetched) if model for v in model.versions}
    deprecated = any(model.deprecated for model in (local, fetched) if model)
    rows = []
    for name in sorted(by_name, key=version_order, reverse=True):
        version = by_name[name]
        remote = fetched.find(name) if fetched else None
        active = all(v.active for v in (local and local.find(name), remote) if v)
        digest, error = None, None
        try:
            digest = resolution.resolve_at(repository, version.model, version.commit).digest
        except GitopsError as problem:
            error = problem.what
        pushed = remote is not None and remote.commit == version.commit
        rows.append(
            {
                "model": version.model,
                "version": version.version,
                "state": "deprecated" if deprecated else "registered" if active else "deregistered",
                "stages": stages.get(name, ()),
                "created": datetime.fromtimestamp(version.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "commit": version.commit,
                "tag": version.tag,
                "digest": digest,
                "error": error,
                "pushed": None if repository.remote is None else pushed,
            }
        )
    return rows
