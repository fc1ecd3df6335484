"""Whether an artifact can be served as it is: all mistakes at once, before a tag, a push or an image is made of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST, Manifest, broken_file, parse_manifest
from gitops_ml.artifacts.model_files import MAX_BYTES, REQUIREMENTS, parse_example
from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.lookup import ResolvedPath
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.artifacts.sidecar import artifact_names, find_sidecar, read_sidecar, require_apart, sidecar_path
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import GitopsError, ModelRejected
from gitops_ml.serving.building.requirements import read_lock

FIX = (
    "let the training write the folder with gitops_ml.save_model, or put {files} beside the model or into {folder}/, "
    "and commit; docs/serving.md of gitops-ml shows each file"
)
_READERS: dict[str, Callable[[bytes], Any]] = {
    MANIFEST: parse_manifest,
    EXAMPLE: parse_example,
    REQUIREMENTS: read_lock,
}
_NEEDED = tuple(_READERS)


def unservable(repo: Repository, resolved: ResolvedVersion) -> ModelRejected | None:
    """What keeps `service` from serving a version, all of it at once; None if nothing does.

    Only names and the three text files are read, as they are before an image is built; those beside the model in Git as
    the version's commit has them, else as HEAD has them. What only DVC can get is not looked at.

    Raises as `resolution.read`.
    """
    if resolved.kind == "indirect":
        return None
    folder = sidecar_path(resolved.model)
    sidecar = find_sidecar(repo, resolved.model, resolved, repo.resolve("HEAD"))
    if not resolved.is_dir and sidecar is None:
        return _rejected(
            f"{resolved.path} is one file, and the model server takes a folder",
            f"beside the model the folder holds {_listed(_NEEDED)}",
            _NEEDED,
            folder,
        )
    own = artifact_names(repo, resolved)
    try:
        beside = read_sidecar(repo, sidecar) if sidecar else {}
        require_apart(own, beside.keys())
    except ModelRejected as error:
        return error
    names = own | beside.keys()
    absent = [name for name in _NEEDED if name not in names]
    broken: dict[str, ModelRejected] = {}
    wanted = own & _READERS.keys()
    texts = resolution.read(repo, resolved, wanted) if wanted else {}  # reading nothing still fetches a lone file
    for name, content in (texts | {name: beside[name] for name in beside.keys() & _READERS.keys()}).items():
        try:
            content_read = _read(name, content)
        except ModelRejected as error:
            broken[name] = error
            continue
        if isinstance(content_read, Manifest) and content_read.file and content_read.file not in names:
            absent.append(content_read.file)
    return _all_at_once(resolved, absent, broken, folder)


def _read(name: str, content: bytes) -> Any:
    limit = MAX_BYTES.get(name)
    if limit is not None and len(content) > limit:
        raise broken_file(name, f"it has {len(content):,} bytes, {limit:,} are allowed")
    return _READERS[name](content)


def _all_at_once(
    resolved: ResolvedPath, absent: list[str], broken: dict[str, ModelRejected], folder: str
) -> ModelRejected | None:
    errors = [broken[name] for name in _NEEDED if name in broken]
    whys = [f"{name}: {broken[name].why}" for name in _NEEDED if name in broken]
    if absent:
        what, why = f"{resolved.path} lacks {_listed(absent)}", "the model server needs each of them"
        errors.insert(0, _rejected(what, why, absent, folder))
        whys.insert(0, why)
    if len(errors) < 2:
        return errors[0] if errors else None
    fixes = dict.fromkeys(error.fix for error in errors)
    return ModelRejected(", and ".join(error.what for error in errors), why="; ".join(whys), fix="; ".join(fixes))


def lacking_for_service(repo: Repository, resolved: ResolvedVersion) -> list[str]:
    """As `unservable`, as warnings: another image may serve the model. Bytes that cannot be had are no warning here."""
    try:
        lacking = unservable(repo, resolved)
    except GitopsError:
        return []
    return [str(lacking).replace("\n  fix: ", "; ")] if lacking else []


def _rejected(what: str, why: str, files: list[str] | tuple[str, ...], folder: str) -> ModelRejected:
    return ModelRejected(what, why=why, fix=FIX.format(files=_listed(files), folder=folder))


def _listed(names: list[str] | tuple[str, ...]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
