"""Look up where a path's bytes are, in the parsed DVC documents of one commit: dvc.yaml, dvc.lock and .dvc files.

DVC itself would build its whole index for that, which takes longer than the rest of a pass. The documents are plain
data with a published schema, so they are read directly.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from gitops_ml.core.versions.documents import CloudFile, DvcFile, Entry
from gitops_ml.core.versions.imports import ImportOrigin, asked_by_import, host_settings, origin_of
from gitops_ml.core.versions.stages import Stage
from gitops_ml.errors import InputError, ObjectCorrupt, VersionNotFound, VersionRefused
from gitops_ml.suggest import nearest

GTO_FILE = "artifacts.yaml"
"""Where GTO named artifacts before DVC's `artifacts:` did; always in the repository's root."""

_MD5 = re.compile(r"([0-9a-f]{32})(\.dir)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One output that DVC tracks.

    `path` is relative to the repository's root. `digest` is `md5:<hex>`; a folder's is that of DVC's manifest of it; an
    import without its bytes (`--no-download`) has none (""). `source` is the document that lists the output. `size`
    is in bytes, if known. `imported`, `by_cloud` (versioned by the cloud) and `legacy` (an object of DVC 2.x) mean that
    only DVC knows where the bytes are. `cached` is False if Git tracks the bytes, and not DVC. `pushed` is False if
    `dvc push` leaves the output out. `remote` is the one remote that the output names for itself, `origin` where
    `dvc import` brought it from, `addresses` what an import asks, `host_settings` what it says of this
    machine.
    """

    path: str
    digest: str
    is_dir: bool
    source: str
    size: int | None = None
    imported: bool = False
    by_cloud: bool = False
    legacy: bool = False
    cached: bool = True
    pushed: bool = True
    remote: str | None = None
    origin: ImportOrigin | None = None
    addresses: tuple[str, ...] = ()
    host_settings: tuple[str, ...] = ()

    @property
    def plain(self) -> bool:
        """Whether the bytes lie under `files/md5` of a cache or a remote, where they can be read without DVC."""
        return not (self.imported or self.by_cloud or self.legacy)


class Notes(NamedTuple):
    """What a document says about one of its outputs; see `Output`. `partial`: an import without its bytes."""

    cached: bool = True
    pushed: bool = True
    remote: str | None = None
    imported: bool = False
    partial: bool = False
    origin: ImportOrigin | None = None
    addresses: tuple[str, ...] = ()
    host_settings: tuple[str, ...] = ()


def path_from_root(folder: str, path: str, what: str) -> str:
    """Convert `path`, relative to `folder`, to a path relative to the repository's root.

    Raises VersionRefused, which names `what`, if the path leads out of the repository.
    """
    if _URL.match(path) or path.startswith(("/", "~")) or re.match(r"[A-Za-z]:[\\/]", path):
        raise VersionRefused(
            f"{what} is an external path: {path}",
            why="no commit pins its bytes, so they may change without one",
            fix="bring it in: dvc import-url, or make it the output of a stage",
        )
    joined = posixpath.normpath(posixpath.join(folder, path))
    if joined == ".." or joined.startswith("../") or joined == "." or "\n" in joined:
        raise VersionRefused(
            f"{what} lies outside the repository: {path}",
            why="only what a commit of this repository holds has a version",
            fix="name a path below the repository's root",
        )
    return joined


def artifact_path(artifacts: Mapping[str, Any], file: str, model: str, name: str) -> str:
    """The path of an artifact, relative to the repository's root.

    Args:
        artifacts: what is under `artifacts:` of a dvc.yaml, or what GTO's artifacts.yaml holds, by name.
        file: the path of that file.
        model: the model as messages name it.
        name: its name under `artifacts:`.

    Raises:
        VersionNotFound: there is no such artifact; names the nearest one.
        InputError: the artifact has no path.
        VersionRefused: the path is external or outside the repository.
    """
    if name not in artifacts:
        match = nearest(name, artifacts)
        names = f"it has: {', '.join(sorted(artifacts))}" if artifacts else "it has none"
        raise VersionNotFound(
            f"{model} is not under artifacts: in {file}",
            why=names,
            fix=f"did you mean {match}?" if match else f"add to {file}: artifacts: {{{name}: {{path: …}}}}",
        )
    entry = artifacts[name]
    path = entry.get("path") if isinstance(entry, Mapping) else None
    place = name if file == GTO_FILE else f"artifacts.{name}"
    if not isinstance(path, str) or not path:
        written = f"{name}: {{path: …}}"
        raise InputError(
            f"{file}: {place} has no path", fix=written if file == GTO_FILE else f"artifacts: {{{written}}}"
        )
    return path_from_root(posixpath.dirname(file), path, f"{model} ({place} of {file})")


def lock_outputs(stages: Mapping[str, Stage], file: str) -> list[Output]:
    """The outputs of the stages in the dvc.lock at `file`."""
    folder = posixpath.dirname(file)
    outputs: list[Output] = []
    for stage in stages.values():
        for out in stage.outs:
            notes = Notes(cached=out.cached, pushed=out.pushed, remote=out.remote)
            outputs += _output(out.entry, posixpath.join(folder, out.path), file, notes)
    return outputs


def dvc_outputs(document: DvcFile, file: str) -> list[Output]:
    """The outputs of the .dvc file at `file`."""
    folder = posixpath.join(posixpath.dirname(file), document.wdir or "")
    # DVC does not push what `dvc import` brought to this repository's remotes: it reads it from the other repository.
    deps = document.deps or []
    imported = any(entry.repo is not None for entry in deps)
    outputs: list[Output] = []
    for entry in document.outs or ():
        notes = Notes(
            cached=entry.cache,
            pushed=entry.push,
            remote=entry.remote,
            imported=imported,
            origin=origin_of(deps),
            addresses=tuple(asked_by_import(deps)),
            host_settings=tuple(host_settings([*deps, entry])),
            # `dvc import --no-download` and `dvc import-url --no-download` write no digest.
            partial=bool(deps) and entry.md5 is None,
        )
        outputs += _output(entry, posixpath.join(folder, entry.path), file, notes)
    return outputs


def listing_digest(files: Mapping[str, str]) -> str:
    """`md5:<hex>` of DVC's manifest of a folder.

    Args:
        files: the md5 in hex of each file, by its path in the folder.
    """
    listed = [{"md5": md5, "relpath": name} for name, md5 in sorted(files.items())]
    text = json.dumps(listed, sort_keys=True)
    return f"md5:{hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()}"


def read_listing(data: bytes, path: str) -> dict[str, str]:
    """The md5 of each file of a folder, by its path in the folder, from DVC's manifest of it.

    Raises ObjectCorrupt if `data` is no manifest, or names a file outside the folder: whoever can write to a remote can
    write any manifest, and its names become paths on disk.
    """
    try:
        listed = [(str(entry["relpath"]), str(entry["md5"])) for entry in json.loads(data)]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ObjectCorrupt(f"the manifest of {path} is not in DVC's format", fix="dvc push it again") from error
    for name, md5 in listed:
        parts = name.split("/")
        if not _MD5.fullmatch(md5) or {"", ".", ".."} & set(parts) or "\0" in name or "\\" in name:
            raise ObjectCorrupt(
                f"the manifest of {path} names {name!r}",
                why="only plain paths below the folder are allowed",
                fix="dvc push it again",
            )
    return dict(listed)


def find_output(outputs: Iterable[Output], path: str) -> tuple[Output, str] | None:
    """The output that contains `path`, and the path inside it ("" if it is the output itself); None if there is none.

    Raises VersionRefused if `path` is only a folder above outputs.
    """
    candidates = list(outputs)
    for out in candidates:
        if out.path == path:
            return out, ""
    for out in candidates:
        if out.is_dir and path.startswith(f"{out.path}/"):
            return out, path[len(out.path) + 1 :]
    below = sorted(out.path for out in candidates if out.path.startswith(f"{path}/"))
    if below:
        raise VersionRefused(
            f"{path} is no output of its own",
            why=f"it is a folder that contains outputs: {', '.join(below[:4])}",
            fix=f"make {path} one output of its stage, or name one of these outputs",
        )
    return None


def _output(entry: Entry, path: str, file: str, notes: Notes) -> list[Output]:
    match = _MD5.fullmatch(entry.md5 or "")
    path = posixpath.normpath(path)
    if not entry.path or _URL.match(entry.path) or path.startswith(("/", "../")):
        return []
    by_cloud = entry.files is not None or entry.cloud is not None
    if match is None and not by_cloud and not notes.partial:
        return []
    return [
        Output(
            path=path,
            digest=f"md5:{match[1]}" if match else _files_digest(entry.files or []),
            is_dir=bool(match[2]) if match else entry.files is not None,
            source=file,
            size=entry.size,
            # DVC 3 writes `hash: md5`. Without that, the digest is DVC 2's, over text with normalised line ends.
            legacy=not by_cloud and entry.hash != "md5",
            imported=notes.imported,
            origin=notes.origin,
            addresses=notes.addresses,
            host_settings=notes.host_settings,
            by_cloud=by_cloud,
            cached=notes.cached,
            pushed=notes.pushed,
            remote=notes.remote,
        )
    ]


def _files_digest(files: Iterable[CloudFile]) -> str:
    """The digest of a cloud-versioned folder, which lists its files instead of a manifest; "" without their md5s."""
    digests = {file.relpath: file.md5 or "" for file in files}
    return listing_digest(digests) if digests and all(digests.values()) else ""
