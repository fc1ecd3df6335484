"""A version as a person at a desk means it: their own tag, the remote's, or any revision of their clone."""

from __future__ import annotations

from typing import Any

from gitops_ml.clients.artifacts.lookup import ResolvedPath, listing, resolve_path, store_for
from gitops_ml.clients.artifacts.resolution import ResolvedVersion, held_at, read, resolve
from gitops_ml.clients.files.yaml_edit import load
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.lineage import flat
from gitops_ml.errors import GitopsError, VersionNotFound

READ_BYTES = 4 << 30


def find_version(repo: Repository, model: str, version: str) -> ResolvedVersion:
    """What `version` of `model` holds. Raises `VersionError`, `SourceUnavailable`."""
    try:
        return resolve(repo, model, version, local=True, latest=True)
    except VersionNotFound as error:
        unknown = error
    try:
        return held_at(repo, model, repo.resolve(version), version)
    except VersionNotFound:
        if repo.remote is None:
            raise unknown from None
    repo.fetch(timeout=30.0)
    return resolve(repo, model, version, latest=True)


def artifact(repo: Repository, held: ResolvedPath) -> dict[str, bytes]:
    """The files of a model, by their path in it. Raises `ObjectMissing`, `ObjectCorrupt`."""
    return read(repo, held, limit=READ_BYTES)


def files_of(repo: Repository, commit: str, path: str) -> dict[str, str]:
    """The md5 of each file of a DVC folder, by name; nothing where its manifest is not to be had."""
    try:
        held = resolve_path(repo, commit, path)
        return listing(store_for(repo, held), held) if held.kind == "dvc" and held.is_dir else {}
    except GitopsError:
        return {}


def metrics(repo: Repository, commit: str) -> dict[str, float]:
    """The numbers in the metrics files that the root's dvc.yaml lists at a commit, by `<file>:<dotted key>`."""
    document = load(repo.read_file(commit, "dvc.yaml") or b"", "dvc.yaml")
    found: dict[str, float] = {}
    for path in _metric_files(document if isinstance(document, dict) else {}):
        try:
            held = resolve_path(repo, commit, path)
            data = next(iter(read(repo, held).values()))
            values = load(data, path)
        except GitopsError:
            continue
        found |= {f"{path}:{k}": v for k, v in flat(values).items() if isinstance(v, int | float)}
    return found


def _metric_files(document: dict[str, Any]) -> list[str]:
    stages = document.get("stages") or {}
    listed = [*(document.get("metrics") or ())]
    for stage in stages.values():
        listed += (stage.get("metrics") or ()) if isinstance(stage, dict) else ()
    return [str(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in listed]
