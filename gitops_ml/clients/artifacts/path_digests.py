"""What a path of a commit holds, looked up in DVC's documents and Git's trees of that commit alone."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import msgspec

from gitops_ml.clients.artifacts.documents import DVC_FILES
from gitops_ml.clients.artifacts.dvc_config import read_config, remote_names
from gitops_ml.clients.artifacts.store import Store, store_of
from gitops_ml.clients.artifacts.templates import read_stages
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.lineage import Lineage, lineage_in_lock
from gitops_ml.core.versions.outputs import (
    Output,
    dvc_outputs,
    find_output,
    listing_digest,
    lock_outputs,
    path_from_root,
    read_listing,
)
from gitops_ml.errors import InputError, ObjectMissing, VersionNotFound, VersionRefused

_LFS = b"version https://git-lfs.github.com/spec/"


class ResolvedPath(msgspec.Struct, frozen=True, kw_only=True):
    """What one path of one commit holds.

    Args:
        path: relative to the repository's root.
        digest: `md5:<hex>` of the file's bytes, or of DVC's manifest of the folder.
        kind: where the bytes are: `dvc` (a cache or remote, by digest), `indirect` (only DVC itself can get them),
            `git`.
        size: in bytes, None where unknown.
        output: DVC's output that holds the path, None for `git`.
        inner: the path inside a folder of DVC's, "" for the whole output.
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
"""By commit and path: a commit does not change, and deployments share models and held-out rows."""


def resolve_path(repo: Repository, commit: str, path: str) -> ResolvedPath:
    """Look up what `path`, relative to the repository's root, holds at `commit`. Raises as `resolve_version`."""
    memo = _RESOLVED.of(repo)
    resolved = memo.get((commit, path))
    if resolved is None:
        resolved = memo[commit, path] = _resolve_path(repo, commit, path_from_root("", path, path))
    return resolved


def _resolve_path(repo: Repository, commit: str, path: str) -> ResolvedPath:
    outputs, broken = _near_outputs(repo, commit, path)
    match = find_output(outputs, path)
    entry = repo.entry(commit, path)
    if match is None and entry is None:
        outputs, elsewhere = all_outputs(repo, commit)
        broken = broken or elsewhere
        match = find_output(outputs, path)
    if match is not None and match[0].cached:
        return _from_dvc(repo, commit, path, *match)
    if entry is None and broken is not None:
        raise broken
    if entry is None:
        raise VersionNotFound(
            f"{path} is not in commit {commit[:12]}",
            why="neither Git nor dvc.lock nor a .dvc file of that commit has it",
            fix=f"dvc repro (or dvc add {path}), then commit dvc.lock (or {path}.dvc)",
        )
    size, digests = _git_digests(repo, commit, path)
    digest = listing_digest(digests) if entry.is_folder else f"md5:{digests['']}"
    return ResolvedPath(commit=commit, path=path, digest=digest, kind="git", is_dir=entry.is_folder, size=size)


def lineage_of(repo: Repository, resolved: ResolvedPath) -> Lineage:
    """Lineage of a path from its dvc.lock; empty if it was added with `dvc add` or is tracked by Git."""
    source = resolved.output.source if resolved.output else ""
    if posixpath.basename(source) != "dvc.lock":
        return Lineage()
    stages = read_stages(repo, resolved.commit, source)
    return lineage_in_lock(stages, posixpath.relpath(resolved.path, posixpath.dirname(source) or "."))


def _near_outputs(repo: Repository, commit: str, path: str) -> tuple[list[Output], InputError | None]:
    """As `_outputs`, of the documents where `path` usually is: a dvc.lock at or above it, a .dvc file beside it."""
    parts = path.split("/")
    above = ["/".join(parts[:n]) for n in range(len(parts))]
    files = [posixpath.join(folder, "dvc.lock") for folder in above]
    locked, broken = _outputs(repo, commit, files)
    own = [f"{'/'.join(parts[:n])}.dvc" for n in range(1, len(parts) + 1)]
    added, unreadable = _outputs(repo, commit, own)
    if unreadable is not None:  # it is named after the path, so nothing else says what the path holds
        raise unreadable
    return [*locked, *added], broken


def all_outputs(repo: Repository, commit: str) -> tuple[list[Output], InputError | None]:
    """Every output that the DVC documents of a commit list, and what is wrong with the first that cannot be read."""
    names = repo.list_files(commit)
    return _outputs(repo, commit, [n for n in names if n.endswith(".dvc") or posixpath.basename(n) == "dvc.lock"])


def _outputs(repo: Repository, commit: str, files: list[str]) -> tuple[list[Output], InputError | None]:
    """The outputs in `files`, and what is wrong with the first that cannot be read: others may have the path."""
    outputs: list[Output] = []
    broken: InputError | None = None
    for file in files:
        try:
            if file.endswith(".dvc"):
                document = DVC_FILES.read(repo, commit, file)
                outputs += dvc_outputs(document, file) if document else []
            else:
                outputs += lock_outputs(read_stages(repo, commit, file), file)
        except InputError as error:
            broken = broken or error
    return outputs, broken


def _from_dvc(repo: Repository, commit: str, path: str, output: Output, inner: str) -> ResolvedPath:
    if not output.digest and not output.by_cloud:
        raise VersionRefused(
            f"{path} has no digest in {output.source}",
            why="it was imported without its bytes (--no-download), so no commit pins them",
            fix=f"dvc update {output.source}, then commit it",
        )
    if not output.digest:
        raise VersionRefused(
            f"{path} has no digest in {output.source}",
            why="its remote keeps versions by itself, and md5 is not among what it recorded",
            fix=f"dvc commit {output.path}",
        )
    kind: Literal["dvc", "indirect"] = "dvc" if output.plain else "indirect"
    whole = ResolvedPath(
        commit=commit,
        path=output.path,
        digest=output.digest,
        kind=kind,
        is_dir=output.is_dir,
        size=output.size,
        output=output,
    )
    if not inner:
        return whole
    if kind == "indirect":
        raise VersionRefused(
            f"{path} lies inside {output.path}, whose content only DVC can get",
            fix=f"name {output.path} itself",
        )
    files = listing(store_for(repo, whole), whole)
    md5 = files.get(inner)
    below = {name[len(inner) + 1 :]: md5 for name, md5 in files.items() if name.startswith(f"{inner}/")}
    if md5 is None and not below:
        raise VersionNotFound(
            f"{path} is not in commit {commit[:12]}",
            why=f"{output.path} (from {output.source}) does not hold {inner}",
            fix=f"it holds: {', '.join(sorted(files)[:5])}",
        )
    return msgspec.structs.replace(
        whole,
        path=path,
        digest=f"md5:{md5}" if md5 else listing_digest(below),
        is_dir=md5 is None,
        size=None,
        inner=inner,
    )


@contextmanager
def push_advice(repo: Repository, resolved: ResolvedPath) -> Iterator[None]:
    """Say with an `ObjectMissing` how the bytes of `resolved` can be pushed, where `dvc push` alone does not."""
    try:
        yield
    except ObjectMissing as error:
        output = resolved.output
        if output is None:
            raise
        if not output.pushed:
            why, fix = f"{output.source} or its dvc.yaml says push: false", "take `push: false` away, then dvc push"
        elif output.remote and output.remote not in {remote.name for remote in store_for(repo, resolved).remotes}:
            why = f"the output names the remote {output.remote} for itself, which is not set up"
            fix = f"dvc remote add {output.remote} URL, then dvc push"
        else:
            raise
        raise ObjectMissing(error.what, why=f"{error.why}; {why}", fix=fix) from error


def store_for(repo: Repository, resolved: ResolvedPath) -> Store:
    """The store of the DVC project that tracks a path."""
    source = resolved.output.source if resolved.output else ""
    return store_of(repo, posixpath.dirname(source), resolved.output.remote if resolved.output else None)


def remotes_at(repo: Repository, resolved: ResolvedPath) -> list[str]:
    """The names of the remotes in the DVC configuration of the commit of `resolved` itself, which DVC reads too."""
    folder = posixpath.dirname(resolved.output.source) if resolved.output else ""
    while folder and repo.entry(resolved.commit, f"{folder}/.dvc/config") is None:
        folder = posixpath.dirname(folder)
    data = repo.read_file(resolved.commit, posixpath.join(folder, ".dvc/config")) or b""
    return remote_names(read_config(repo.root / folder / ".dvc", data))


def listing(store: Store, resolved: ResolvedPath) -> dict[str, str]:
    """The md5 of each file of a path that DVC tracks, by its name in the path; a single file's name is ""."""
    output = resolved.output
    assert output is not None
    if not output.is_dir:
        return {"": output.digest.removeprefix("md5:")}
    data = store.read(f"{output.digest.removeprefix('md5:')}.dir", output.path)
    files = read_listing(data, output.path)
    if not resolved.inner:
        return files
    if resolved.inner in files:
        return {"": files[resolved.inner]}
    start = f"{resolved.inner}/"
    return {name.removeprefix(start): md5 for name, md5 in files.items() if name.startswith(start)}


def _git_digests(repo: Repository, commit: str, path: str) -> tuple[int, dict[str, str]]:
    """The size of all files that Git tracks at `path`, and the md5 of each, by its name there ("": `path` itself)."""
    total, digests = 0, {}
    for name, data in git_files(repo, commit, path):
        total += len(data)
        digests[name] = hashlib.md5(data, usedforsecurity=False).hexdigest()
    return total, digests


def git_files(repo: Repository, commit: str, path: str) -> Iterator[tuple[str, bytes]]:
    """The files that Git tracks at `path`, each with its name there ("": `path` itself).

    Raises VersionRefused for a link, a submodule, or a pointer of Git LFS: the bytes are not in the commit.
    """
    entry = repo.entry(commit, path)
    assert entry is not None
    files = {path: entry}
    if entry.is_folder:
        files = repo.list_files(commit, path)
    for file, mode in ((file, listed.mode) for file, listed in files.items()):
        data = repo.read_file(commit, file) if mode.startswith("100") else None
        if data is None:
            raise VersionRefused(
                f"{file} is a symbolic link or a submodule",
                why="its bytes are not in this commit",
                fix=f"commit the file itself, or: git rm -r --cached {path} && dvc add {path}",
            )
        if data.startswith(_LFS):
            raise VersionRefused(
                f"{file} is kept by Git LFS",
                why="Git holds only a pointer to it",
                fix=f"git lfs untrack {file}, then: git rm -r --cached {path} && dvc add {path}",
            )
        yield file[len(path) + 1 :], data
