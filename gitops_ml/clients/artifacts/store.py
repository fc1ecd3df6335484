"""DVC's caches and remotes, read directly: folders of objects named by their md5.

Local folders need no DVC, whose import takes a second. Any other kind of remote (S3, SSH, HTTP …) goes through `dvc`.
Every object is hashed before it is returned.
"""

from __future__ import annotations

import contextlib
import hashlib
import posixpath
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from gitops_ml.clients.artifacts import dvc
from gitops_ml.clients.artifacts.dvc_config import Config, read_config, remotes_of
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import ObjectCorrupt, ObjectMissing, SourceUnavailable

_CHUNK = 1 << 20


class Store:
    """The caches and the remotes of one DVC project of one clone. `config`: local paths in it are absolute."""

    def __init__(self, config: Config, caches: list[Path], preferred: str | None) -> None:
        self.config = config
        self.caches = caches
        self.remotes = remotes_of(config, preferred)

    def copy(self, name: str, target: Path, what: str) -> int:
        """Write the object `name` (`<md5>` or `<md5>.dir`) to `target`, hashed while it is copied; its size in bytes.

        A corrupt object is passed over while another place may have a whole one.

        Args:
            what: the path that the object is of, for messages.

        Raises:
            ObjectCorrupt: a place has it corrupt, and none has it whole.
            ObjectMissing: no place has it.
            SourceUnavailable: no place that answers has it, and one does not answer.
        """
        corrupt: list[str] = []
        for place in self._folders(name):
            with contextlib.suppress(OSError):
                size, whole = _copy(place, target, name)
                if whole:
                    return size
                corrupt.append(str(place))
        unavailable: SourceUnavailable | None = None
        for remote in self.remotes:
            if remote.folder is not None:
                continue
            try:
                if not dvc.download_object(self.config, remote.name, name, target):
                    continue
            except SourceUnavailable as error:
                unavailable = error
                continue
            if _md5(target) == name.removesuffix(".dir"):
                return target.stat().st_size
            corrupt.append(f"{remote.url} (remote {remote.name})")
        target.unlink(missing_ok=True)
        if unavailable is not None:
            raise unavailable
        if corrupt:
            raise ObjectCorrupt(
                f"the bytes of {what} do not hash to their digest md5:{name}",
                why=f"broken: {', '.join(corrupt)}",
                fix=f"remove what is broken, then dvc push {what} from where it is whole (or dvc repro, dvc push)",
            )
        raise self._missing(name, what)

    def _missing(self, name: str, what: str) -> ObjectMissing:
        caches = ", ".join(map(str, self.caches)) or "no cache"
        names = ", ".join(remote.name for remote in self.remotes)
        return ObjectMissing(
            f"the bytes of {what} (md5:{name}) are nowhere",
            why=f"looked in {caches} and {f'the remotes {names}' if names else 'no DVC remote is set up'}",
            fix="dvc push, where the model was made" if names else "dvc remote add -d NAME URL, then dvc push",
        )

    def read(self, name: str, what: str) -> bytes:
        """The bytes of the object `name`. Raises as `copy`."""
        for place in self._folders(name):
            with contextlib.suppress(OSError):
                data = place.read_bytes()
                if hashlib.md5(data, usedforsecurity=False).hexdigest() == name.removesuffix(".dir"):
                    return data
        with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
            target = Path(folder) / "object"
            self.copy(name, target, what)
            return target.read_bytes()

    def places(self, names: Iterable[str]) -> list[str]:
        """`cache` and the names of the remotes that have every one of `names`, by existence alone."""
        wanted = sorted(names)
        places = ["cache"] if all(any(_at(c, n).is_file() for c in self.caches) for n in wanted) else []
        for remote in self.remotes:
            if remote.folder is not None:
                complete = all(_at(remote.folder, name).is_file() for name in wanted)
            else:
                complete = dvc.has_objects(self.config, remote.name, wanted)
            places += [remote.name] if complete else []
        return places

    def _folders(self, name: str) -> Iterator[Path]:
        for folder in [*self.caches, *(r.folder for r in self.remotes if r.folder is not None)]:
            yield _at(folder, name)


_STORES: Memo[tuple[str | None, str, str | None], Store] = Memo()
"""Stores by the fetched tip, the project's folder and the preferred remote."""


def store_of(repo: Repository, folder: str = "", preferred: str | None = None) -> Store:
    """The store of the DVC project around `folder`, relative to the repository's root.

    The project's shared configuration is the fetched tip's: old versions are fetched from where the project
    keeps its models now. What is this clone's alone (`config.local`), the user's and the system's come from
    their files.

    Args:
        preferred: the remote that an output names for itself; it is looked into first.

    Raises:
        InputError: a configuration file cannot be read.
    """
    tip = repo.find_tip()
    root = folder
    while root and not (repo.root / root / ".dvc").is_dir() and not (tip and repo.entry(tip, f"{root}/.dvc")):
        root = posixpath.dirname(root)
    stores = _STORES.of(repo)
    store = stores.get((tip, root, preferred))
    if store is None:
        dvc_folder = repo.root / root / ".dvc"
        shared = repo.read_file(tip, posixpath.join(root, ".dvc/config")) or b"" if tip else None
        config = read_config(dvc_folder, shared)
        caches = _caches(repo, config, dvc_folder, root)
        store = stores[tip, root, preferred] = Store(config, caches, preferred)
    return store


def _caches(repo: Repository, config: Config, base: Path, root: str) -> list[Path]:
    chosen = config.get("cache", {}).get("dir")
    folders = [Path(chosen)] if chosen else [base / "cache"]
    # A linked work tree has a .dvc of its own, and usually nothing in its cache. The main one's is as good.
    if not repo.bare and repo.common_dir != repo.git_dir and not chosen:
        folders.append(repo.common_dir.parent / root / ".dvc" / "cache")
    return folders


def _at(folder: Path, name: str) -> Path:
    return folder / "files" / "md5" / name[:2] / name[2:]


def _copy(source: Path, target: Path, name: str) -> tuple[int, bool]:
    """Copy an object. Returns its size in bytes, and whether it hashes to `name`."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with source.open("rb") as incoming, target.open("wb") as outgoing:
        while chunk := incoming.read(_CHUNK):
            digest.update(chunk)
            outgoing.write(chunk)
            size += len(chunk)
    return size, digest.hexdigest() == name.removesuffix(".dir")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
