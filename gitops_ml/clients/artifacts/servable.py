"""Whether an artifact can be served as it is: all mistakes at once, before a tag, a push or an image is made of it."""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from typing import Any

from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST, Manifest, broken_file, parse_manifest
from gitops_ml.artifacts.model_files import MAX_BYTES, REQUIREMENTS, parse_example
from gitops_ml.clients.artifacts import lookup, resolution
from gitops_ml.clients.artifacts.lookup import ResolvedPath
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import GitopsError, ModelRejected
from gitops_ml.serving.building.requirements import read_lock

FIX = (
    "let the training write the folder with gitops_ml.save_model (or {files} beside the model), name that folder in "
    "`path:`, and commit; docs/serving.md of gitops-ml shows each file"
)
_READERS: dict[str, Callable[[bytes], Any]] = {
    MANIFEST: parse_manifest,
    EXAMPLE: parse_example,
    REQUIREMENTS: read_lock,
}
_NEEDED = tuple(_READERS)


def unservable(repo: Repository, resolved: ResolvedPath) -> ModelRejected | None:
    """What keeps `service` from serving the artifact at `resolved`, all of it at once; None if nothing does.

    Only names and the three text files are read, as they are before an image is built. What only DVC can get is not
    looked at.

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
    broken: dict[str, ModelRejected] = {}
    for name, content in resolution.read(repo, resolved, names & _READERS.keys()).items():
        try:
            content_read = _read(name, content)
        except ModelRejected as error:
            broken[name] = error
            continue
        if isinstance(content_read, Manifest) and content_read.file and content_read.file not in names:
            absent.append(content_read.file)
    return _all_at_once(resolved, absent, broken)


def _read(name: str, content: bytes) -> Any:
    limit = MAX_BYTES.get(name)
    if limit is not None and len(content) > limit:
        raise broken_file(name, f"it has {len(content):,} bytes, {limit:,} are allowed")
    return _READERS[name](content)


def _all_at_once(resolved: ResolvedPath, absent: list[str], broken: dict[str, ModelRejected]) -> ModelRejected | None:
    errors = [broken[name] for name in _NEEDED if name in broken]
    whys = [f"{name}: {broken[name].why}" for name in _NEEDED if name in broken]
    if absent:
        what, why = f"{resolved.path} lacks {_listed(absent)}", "the model server needs each of them"
        errors.insert(0, _rejected(what, why, absent))
        whys.insert(0, why)
    if len(errors) < 2:
        return errors[0] if errors else None
    fixes = dict.fromkeys(error.fix for error in errors)
    return ModelRejected(", and ".join(error.what for error in errors), why="; ".join(whys), fix="; ".join(fixes))


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
