"""The bytes of a version, copied into a folder and verified: from Git, DVC's stores, an import, or through DVC."""

from __future__ import annotations

import contextlib
import posixpath
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.artifacts import dvc
from gitops_ml.clients.artifacts.imports import open_import
from gitops_ml.clients.artifacts.path_digests import (
    ResolvedPath,
    all_outputs,
    git_files,
    listing,
    push_advice,
    remotes_at,
    resolve_path,
    store_for,
)
from gitops_ml.clients.artifacts.reachable import why_unreachable_now
from gitops_ml.clients.artifacts.scratch import scratch_folder, writing_to
from gitops_ml.clients.git.process import redact
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.operator_settings import DVC_REMOTES
from gitops_ml.core.versions.imports import ImportOrigin
from gitops_ml.core.versions.outputs import Output, listing_digest
from gitops_ml.errors import ObjectCorrupt, ObjectMissing, VersionNotFound, VersionRefused


class ModelFile(NamedTuple):
    """One verified file of a model: its name in the model, where it is now, and its size in bytes."""

    name: str
    path: Path
    size: int


def fetch(repo: Repository, resolved: ResolvedPath, folder: Path) -> list[ModelFile]:
    """Copy the bytes of `resolved` into `folder`, every file hashed while it is copied; a single file keeps its name.

    Raises:
        ObjectMissing: some bytes are in no cache and no remote.
        ObjectCorrupt: what a remote has does not hash to its digest.
        SourceUnavailable: a remote that may have them does not answer.
    """
    if resolved.kind == "git":
        return list(_write_git(repo, resolved, folder))
    with push_advice(repo, resolved):
        return _indirect(repo, resolved, folder) if resolved.kind == "indirect" else _plain(repo, resolved, folder)


def _plain(repo: Repository, resolved: ResolvedPath, folder: Path) -> list[ModelFile]:
    store = store_for(repo, resolved)
    files = []
    for name, md5 in listing(store, resolved).items():
        target = folder / (name or posixpath.basename(resolved.path))
        with writing_to(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        size = store.copy(md5, target, posixpath.join(resolved.path, name).rstrip("/"))
        files.append(ModelFile(target.relative_to(folder).as_posix(), target, size))
    return files


def _write_git(repo: Repository, resolved: ResolvedPath, folder: Path) -> Iterator[ModelFile]:
    for name, data in git_files(repo, resolved.commit, resolved.path):
        name = name or posixpath.basename(resolved.path)
        target = folder / name
        with writing_to(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        yield ModelFile(name, target, len(data))


def _indirect(repo: Repository, resolved: ResolvedPath, folder: Path) -> list[ModelFile]:
    output = resolved.output
    assert output is not None
    if output.imported and not output.legacy:
        with contextlib.suppress(ObjectMissing):  # the machine that imported it has it in its cache
            return _plain(repo, resolved, folder)
    store = store_for(repo, resolved)
    for address in output.addresses:
        if reason := why_unreachable_now(address, store.permitted):
            raise VersionRefused(
                f"{resolved.path} is imported from {redact(address)}, which may not be read",
                why=reason,
                fix=f"correct url: in {output.source}, or have the host's operator name it in {DVC_REMOTES}",
            )
    _require_no_host_settings(output)
    if output.origin is not None:
        files = _imported(repo, resolved, output.origin, folder)
    else:
        outputs, _ = all_outputs(repo, resolved.commit)
        for other in outputs:  # DVC reads every .dvc file of the commit
            _require_no_host_settings(other)
        with scratch_folder() as own:
            settings = store.settings(own, remotes_at(repo, resolved))
            files = dvc.download(
                repo.root, resolved.commit, resolved.path, is_dir=resolved.is_dir, folder=folder, settings=settings
            )
    for hashed in ("md5-dos2unix", "md5") if output.legacy else ("md5", "md5-dos2unix"):
        digests = {name: dvc.md5(path, hashed) for name, path in files.items()}
        digest = listing_digest(digests) if resolved.is_dir else f"md5:{next(iter(digests.values()), '')}"
        if digest == resolved.digest:
            return [ModelFile(name, path, path.stat().st_size) for name, path in sorted(files.items())]
    raise ObjectCorrupt(
        f"{resolved.path} at commit {resolved.commit[:12]} is not {resolved.digest}",
        why="what came from its source hashes to something else",
        fix=f"dvc update {resolved.path}.dvc, or dvc push it again from where it is right",
    )


def _require_no_host_settings(output: Output) -> None:
    for key in output.host_settings:
        raise VersionRefused(
            f"{output.source} sets `{key}` for what it imports",
            why="whoever can push could name a program there that would run on this machine, or a file of it",
            fix=f"remove {key} from {output.source}",
        )


def _imported(repo: Repository, resolved: ResolvedPath, origin: ImportOrigin, folder: Path) -> dict[str, Path]:
    """Get what `dvc import` brought from `origin`, into `folder`; the files by their names in `resolved`."""
    files: dict[str, Path] = {}
    try:
        with open_import(repo, origin) as other:
            for name, part in _parts(other, other.tip(), posixpath.normpath(origin.path)):
                place = folder / (name if part.is_dir else posixpath.dirname(name))
                for file in fetch(other, part, place):
                    files[posixpath.join(name, file.name) if part.is_dir else name] = file.path
    except (ObjectMissing, VersionNotFound) as error:
        raise ObjectMissing(
            f"{resolved.path} of commit {resolved.commit[:12]} cannot be got from {redact(origin.url)}",
            why=f"{error.what}: {error.why}",
            fix=f"restore the remote or the repository that it comes from, until this works: dvc pull {resolved.path}",
        ) from error
    if set(files) == {""}:
        files = {posixpath.basename(resolved.path): files[""]}
    return files


def _parts(other: Repository, commit: str, path: str) -> Iterator[tuple[str, ResolvedPath]]:
    """What makes up `path` in a repository that is imported from, each with its name in `path` ("": `path` itself).

    A folder there may hold outputs of DVC and files of Git side by side. DVC's own files are left out, as DVC does.
    """
    outputs, _ = all_outputs(other, commit)
    below = {output.path for output in outputs if output.path.startswith(f"{path}/") and output.cached}
    if not below or any(path == output.path or path.startswith(f"{output.path}/") for output in outputs):
        yield "", resolve_path(other, commit, path)
        return
    for file in other.list_files(commit, path):
        if not (file.endswith(".dvc") or posixpath.basename(file) in ("dvc.yaml", ".dvcignore")):
            below.add(file)
    for file in sorted(below):
        yield file[len(path) + 1 :], resolve_path(other, commit, file)
