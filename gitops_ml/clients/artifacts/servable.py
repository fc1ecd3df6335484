"""Whether an artifact can be served as it is: all that it lacks, before a tag, a push or an image is made of it."""

from __future__ import annotations

import posixpath

from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST, parse_manifest
from gitops_ml.artifacts.model_files import REQUIREMENTS
from gitops_ml.clients.artifacts import lookup, resolution
from gitops_ml.clients.artifacts.lookup import ResolvedPath
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import GitopsError, ModelRejected

FIX = (
    "let the training write {files} beside the model, name that folder in `path:`, and commit; "
    "docs/serving.md of gitops-ml shows each file"
)
_NEEDED = (MANIFEST, EXAMPLE, REQUIREMENTS)


def unservable(repo: Repository, resolved: ResolvedPath) -> ModelRejected | None:
    """What `service` lacks in the artifact at `resolved`, all of it at once; None if it lacks nothing.

    Only names and the manifest are read. What only DVC can get is not looked at.

    Raises as `resolution.read`.
    """
    if resolved.kind == "indirect":
        return None
    if not resolved.is_dir:
        return _rejected(
            f"{resolved.path} is one file, and the model server takes a folder",
            f"beside the model the folder holds {_listed(_NEEDED)}",
            _NEEDED,
        )
    names = _names(repo, resolved)
    absent = [name for name in _NEEDED if name not in names]
    if MANIFEST in names:
        data = resolution.read(repo, resolved, {MANIFEST}).get(MANIFEST, b"")
        try:
            file = parse_manifest(data).file
        except ModelRejected as error:
            return error
        absent += [file] if file and file not in names else []
    if not absent:
        return None
    return _rejected(f"{resolved.path} lacks {_listed(absent)}", "the model server needs each of them", absent)


def lacking_for_service(repo: Repository, resolved: ResolvedPath) -> list[str]:
    """As `unservable`, as warnings: another image may serve the model. Bytes that cannot be had are no warning here."""
    try:
        lacking = unservable(repo, resolved)
    except GitopsError:
        return []
    return [str(lacking).replace("\n  fix: ", "; ")] if lacking else []


def _rejected(what: str, why: str, files: list[str] | tuple[str, ...]) -> ModelRejected:
    return ModelRejected(what, why=why, fix=FIX.format(files=_listed(files)))


def _names(repo: Repository, resolved: ResolvedPath) -> set[str]:
    if resolved.kind == "git":
        files = repo.list_files(resolved.commit, resolved.path)
        return {posixpath.relpath(file, resolved.path) for file in files}
    return set(lookup.listing(lookup.store_for(repo, resolved), resolved))


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
