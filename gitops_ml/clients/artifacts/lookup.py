"""What a path of a commit holds, found in DVC's documents and Git's trees of that commit alone."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from gitops_ml.clients.artifacts.store import Store, store_of
from gitops_ml.clients.files.yaml_edit import load
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.lineage import Made, made_of
from gitops_ml.core.versions.outputs import (
    Output,
    dvc_outputs,
    find_output,
    inside,
    lock_outputs,
    manifest_digest,
    read_manifest,
)
from gitops_ml.errors import VersionNotFound, VersionRefused

_LFS = b"version https://git-lfs.github.com/spec/"
_DOCUMENT_BYTES = 16 << 20
_DOCUMENTS: Memo[str, Any] = Memo()
"""Parsed documents, by the blob's id."""


class ResolvedPath(msgspec.Struct, frozen=True, kw_only=True):
    """What one path of one commit holds.

    `digest` is `md5:<hex>`: of the file's bytes, or of DVC's manifest of the folder. `kind` is where the
    bytes are: `dvc` (a cache or remote, by digest), `indirect` (only DVC itself can get them), `git`. `size`
    is in bytes, None where unknown.
    """

    commit: str
    path: str
    digest: str
    kind: Literal["dvc", "indirect", "git"]
    is_dir: bool
    size: int | None = None
    output: Output | None = None
    inner: str = ""


_RESOLVED: Memo[tuple[str, str], ResolvedPath] = Memo()
"""What paths hold, by commit and path: deployments share models and held-out rows."""


def resolve_path(repo: Repository, commit: str, path: str) -> ResolvedPath:
    """What `path`, relative to the repository's root, holds at `commit`. Raises as `resolve`."""
    resolved = _RESOLVED.of(repo)
    if (held := resolved.get((commit, path))) is None:
        held = resolved[commit, path] = _resolve_path(repo, commit, inside("", path, path))
    return held


def _resolve_path(repo: Repository, commit: str, path: str) -> ResolvedPath:
    found = find_output(_near_outputs(repo, commit, path), path)
    entry = repo.entry(commit, path)
    if found is None and entry is None:
        found = find_output(_all_outputs(repo, commit), path)
    if found is not None and found[0].cached:
        return _from_dvc(repo, commit, path, *found)
    if entry is None:
        raise VersionNotFound(
            f"{path} is not in commit {commit[:12]}",
            why="neither Git nor dvc.lock nor a .dvc file of that commit has it",
            fix=f"dvc repro (or dvc add {path}), then commit dvc.lock (or {path}.dvc)",
        )
    held = _git_files(repo, commit, path)
    digest = manifest_digest(held[1]) if entry.is_folder else f"md5:{held[1]['']}"
    return ResolvedPath(commit=commit, path=path, digest=digest, kind="git", is_dir=entry.is_folder, size=held[0])


def made(repo: Repository, held: ResolvedPath) -> Made:
    """What a path was made of, by the dvc.lock that has it; nothing where a person added it."""
    source = held.output.source if held.output else ""
    if posixpath.basename(source) != "dvc.lock":
        return Made()
    folder = posixpath.dirname(source)
    lock = read_document(repo, held.commit, source)
    return made_of(lock, posixpath.relpath(held.path, folder) if folder else held.path)


def read_document(repo: Repository, commit: str, file: str) -> Any:
    found = repo.read_blob(commit, file, _DOCUMENT_BYTES)
    return None if found is None or found.data is None else _parsed(repo, found.id, found.data, file)


def _parsed(repo: Repository, blob: str, data: bytes, file: str) -> Any:
    documents = _DOCUMENTS.of(repo)
    if (document := documents.get(blob)) is None:
        document = documents[blob] = load(data, file)
    return document


def _near_outputs(repo: Repository, commit: str, path: str) -> list[Output]:
    """The outputs in the documents where `path` usually is: a dvc.lock at or above it, a .dvc file beside it."""
    parts = path.split("/")
    above = ["/".join(parts[:n]) for n in range(len(parts))]
    files = [posixpath.join(folder, "dvc.lock") for folder in above]
    files += [f"{'/'.join(parts[:n])}.dvc" for n in range(1, len(parts) + 1)]
    return _outputs(repo, commit, files)


def _all_outputs(repo: Repository, commit: str) -> list[Output]:
    names = repo.list_files(commit)
    return _outputs(repo, commit, [n for n in names if n.endswith(".dvc") or posixpath.basename(n) == "dvc.lock"])


def _outputs(repo: Repository, commit: str, files: list[str]) -> list[Output]:
    found: list[Output] = []
    for file in files:
        blob = repo.read_blob(commit, file, _DOCUMENT_BYTES)
        if blob is None or blob.data is None:
            continue
        document = _parsed(repo, blob.id, blob.data, file)
        if file.endswith(".dvc"):
            found += dvc_outputs(document, file)
        else:
            pipeline = read_document(repo, commit, posixpath.join(posixpath.dirname(file), "dvc.yaml"))
            found += lock_outputs(document, pipeline, file)
    return found


def _from_dvc(repo: Repository, commit: str, path: str, output: Output, inner: str) -> ResolvedPath:
    if not output.digest:
        raise VersionRefused(
            f"{path} has no digest in {output.source}",
            why="its remote keeps versions by itself, and md5 is not among what it recorded",
            fix=f"dvc commit {output.path}",
        )
    kind: Literal["dvc", "indirect"] = "dvc" if output.plain else "indirect"
    held = ResolvedPath(
        commit=commit,
        path=output.path,
        digest=output.digest,
        kind=kind,
        is_dir=output.is_dir,
        size=output.size,
        output=output,
    )
    if not inner:
        return held
    if kind == "indirect":
        raise VersionRefused(
            f"{path} lies inside {output.path}, whose content only DVC can get",
            fix=f"name {output.path} itself",
        )
    files = listing(store_for(repo, held), held)
    one = files.get(inner)
    below = {n[len(inner) + 1 :]: md5 for n, md5 in files.items() if n.startswith(f"{inner}/")}
    if one is None and not below:
        raise VersionNotFound(
            f"{path} is not in commit {commit[:12]}",
            why=f"{output.path} (from {output.source}) does not hold {inner}",
            fix=f"it holds: {', '.join(sorted(files)[:5])}",
        )
    return msgspec.structs.replace(
        held,
        path=path,
        digest=f"md5:{one}" if one else manifest_digest(below),
        is_dir=one is None,
        size=None,
        inner=inner,
    )


def store_for(repo: Repository, held: ResolvedPath) -> Store:
    source = held.output.source if held.output else ""
    return store_of(repo, posixpath.dirname(source), held.output.remote if held.output else None)


def listing(store: Store, held: ResolvedPath) -> dict[str, str]:
    """The md5 of each file, by its name in `held`; the name of a single file is ""."""
    output = held.output
    assert output is not None
    if not output.is_dir:
        return {"": output.digest.removeprefix("md5:")}
    data = store.read(f"{output.digest.removeprefix('md5:')}.dir", output.path)
    files = read_manifest(data, output.path)
    if not held.inner:
        return files
    if held.inner in files:
        return {"": files[held.inner]}
    start = f"{held.inner}/"
    return {name.removeprefix(start): md5 for name, md5 in files.items() if name.startswith(start)}


def _git_files(repo: Repository, commit: str, path: str) -> tuple[int, dict[str, str]]:
    """The size in all, and the md5 of each file that Git tracks at `path`, by its name there ("": `path`
    itself).
    """
    total, digests = 0, {}
    for name, data in git_bytes(repo, commit, path):
        total += len(data)
        digests[name] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return total, digests


def git_bytes(repo: Repository, commit: str, path: str) -> Iterator[tuple[str, bytes]]:
    entry = repo.entry(commit, path)
    assert entry is not None
    listed = {"": entry}
    if entry.is_folder:
        listed = {n[len(path) + 1 :]: e for n, e in repo.list_files(commit, path).items()}
    for name, one in listed.items():
        found = repo.read_object(one.id) if one.mode.startswith("100") else None
        if found is None or found.data is None:
            raise VersionRefused(
                f"{posixpath.join(path, name)} is a symbolic link or a submodule",
                why="its bytes are not in this commit",
                fix="commit the file itself, or dvc add it",
            )
        if found.data.startswith(_LFS):
            raise VersionRefused(
                f"{posixpath.join(path, name)} is kept by Git LFS",
                why="Git holds only a pointer to it",
                fix=f"git lfs untrack it and dvc add {path}",
            )
        yield name, found.data
