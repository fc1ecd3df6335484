"""DVC's caches and remotes, read directly: folders of objects named by their md5.

Local folders need no DVC, whose import takes a second. Any other kind of remote (S3, SSH, HTTP …) goes through `dvc`.
Every object is hashed before it is returned.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from gitops_ml.clients.artifacts import dvc
from gitops_ml.clients.artifacts.dvc_config import (
    Config,
    Remote,
    dvc_settings,
    overlay,
    read_config,
    referred,
    remote_names,
    remotes_of,
)
from gitops_ml.clients.artifacts.imports import ImportedRepository
from gitops_ml.clients.artifacts.reachable import Refusal, refusal_of, why_unreachable_now
from gitops_ml.clients.artifacts.scratch import scratch_folder, writing_to
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.operator_settings import read_settings
from gitops_ml.core.reach import why_unreachable
from gitops_ml.errors import GitopsError, ObjectCorrupt, ObjectMissing, SourceUnavailable

_CHUNK = 1 << 20
_CACHE = "gitops-ml-cache"
"""What DVC is told that the clone's own cache is called."""


class Store:
    """The caches and the remotes of one DVC project of one clone. `config`: local paths in it are absolute.

    `remotes` are those whose addresses may be read. `refused` has the others, by name; one of `remotes` is added when
    its host's name was looked up. `permitted`: what the host's operator permits, as
    `why_unreachable` takes it.
    """

    def __init__(
        self, config: Config, caches: list[Path], preferred: str | None, permitted: Collection[str] | None
    ) -> None:
        self.config = config
        self.caches = caches
        self.permitted = permitted
        self.refused: dict[str, Refusal] = {}
        self.remotes: list[Remote] = []
        for remote in remotes_of(config, preferred):
            if refusal := refusal_of(remote, why_unreachable, permitted):
                self.refused[remote.name] = refusal
            else:
                self.remotes.append(remote)

    def look_up(self) -> list[Remote]:
        """The remotes that may be read at the addresses that their hosts' names have now."""
        readable, refused = [], dict(self.refused)
        for remote in self.remotes:
            if refusal := refusal_of(remote, why_unreachable_now, self.permitted):
                refused[remote.name] = refusal
            else:
                refused.pop(remote.name, None)
                readable.append(remote)
        self.refused = refused
        return readable

    def settings(self, own: Path, others: Collection[str] = ()) -> dict[str, Any]:
        """What DVC is told of the configuration. It finds nothing in the remotes that may not be read now.

        Args:
            own: an empty folder for what DVC keeps for itself.
            others: names of remotes that DVC may know from another commit's configuration.
        """
        names = {name for remote in self.look_up() for name in referred(self.config, remote.name)}
        settings = dvc_settings(self.config, names, own / "site")
        nowhere = {"url": str(own / "nowhere")}
        for name in {*remote_names(self.config), *others} - names:
            settings["remote"][name] = nowhere
        if self.caches and "remote" not in settings["core"]:  # as DVC does: what has no remote is in the cache
            settings["core"]["remote"] = _CACHE
            settings["remote"][_CACHE] = {"url": str(self.caches[0])}
        return settings

    def copy(self, name: str, target: Path, what: str) -> int:
        """Write the object `name` (`<md5>` or `<md5>.dir`) to `target`, hashed while it is copied; its size in bytes.

        A corrupt object is passed over while another place may have a whole one.

        Args:
            what: the path that the object is of, for messages.

        Raises:
            ObjectCorrupt: a place has it corrupt, and none has it whole.
            ObjectMissing: no place has it.
            SourceUnavailable: no place that answers has it, and one does not answer or cannot be read; or `target`
                cannot be written to.
        """
        corrupt: list[str] = []
        unreadable: list[str] = []
        for place in self._folders(name):
            try:
                size, whole = _copy(place, target, name)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                unreadable.append(f"{place}: {error.strerror or error}")
                continue
            if whole:
                return size
            corrupt.append(str(place))
        unavailable: SourceUnavailable | None = None
        for remote in self.remotes:
            if remote.folder is not None:
                continue
            try:
                if not dvc.download_object(self.settings, remote.name, name, target):
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
        if unreadable:
            raise SourceUnavailable(
                f"the bytes of {what} (md5:{name}) cannot be read",
                why="; ".join(unreadable),
                fix=f"ls -l {unreadable[0].rpartition(': ')[0]}",
            )
        if corrupt:
            raise ObjectCorrupt(
                f"the bytes of {what} do not hash to their digest md5:{name}",
                why=f"broken: {', '.join(corrupt)}",
                fix=f"remove what is broken, then dvc push {what} from where it is whole (or dvc repro, dvc push)",
            )
        raise self._missing(name, what)

    def _missing(self, name: str, what: str) -> ObjectMissing:
        caches = ", ".join(map(str, self.caches)) or "no cache"
        names = ", ".join(remote.name for remote in self.remotes if remote.name not in self.refused)
        empty = [r for r in self.remotes if r.folder is not None and not _is_there(r.folder / "files" / "md5")]
        absent = "".join(f"; {remote.folder} (remote {remote.name}) holds no objects" for remote in empty)
        absent += "".join(f"; the remote {name} may not be read: {why}" for name, (why, _) in self.refused.items())
        push = "dvc push, where the model was made" if names else "dvc remote add -d NAME URL, then dvc push"
        return ObjectMissing(
            f"the bytes of {what} (md5:{name}) are nowhere",
            why=f"looked in {caches} and {f'the remotes {names}' if names else 'no DVC remote'}{absent}",
            fix=f"mount {empty[0].folder} if that was forgotten; else {push}"
            if empty
            else next(iter(self.refused.values())).fix
            if self.refused and not names
            else push,
        )

    def absence(self, names: Iterable[str], what: str) -> GitopsError | None:
        """Why `names` cannot all be got: the error for the first that no place has. None if each is somewhere."""
        for name in sorted(names):
            if not any(self._has(place, name) for place in self._named()):
                with scratch_folder() as folder:
                    try:
                        self.copy(name, folder / "object", what)
                    except GitopsError as error:
                        return error
        return None

    def read(self, name: str, what: str) -> bytes:
        """The bytes of the object `name`. Raises as `copy`."""
        for place in self._folders(name):
            with contextlib.suppress(OSError):
                data = place.read_bytes()
                if hashlib.md5(data, usedforsecurity=False).hexdigest() == name.removesuffix(".dir"):
                    return data
        with scratch_folder() as folder:
            target = folder / "object"
            self.copy(name, target, what)
            return target.read_bytes()

    def places(self, names: Iterable[str]) -> list[str]:
        """`cache` and the names of the remotes that have every one of `names`, by existence alone."""
        wanted = sorted(names)
        return [place for place in self._named() if self._has(place, *wanted)]

    def _named(self) -> list[str]:
        return ["cache", *(remote.name for remote in self.remotes)]

    def _has(self, place: str, *names: str) -> bool:
        """Whether the cache, or the remote of that name, has every one of `names`; False if it does not answer."""
        if place == "cache":
            return all(any(_is_there(_at(cache, name)) for cache in self.caches) for name in names)
        remote = next(remote for remote in self.remotes if remote.name == place)
        if remote.folder is None:
            return dvc.has_objects(self.settings, remote.name, list(names))
        return all(_is_there(_at(remote.folder, name)) for name in names)

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
        config, dvc_folder = _config(repo, tip, root)
        caches = _caches(repo, config, dvc_folder, root)
        permitted = read_settings(os.environ).dvc_remotes
        store = stores[tip, root, preferred] = Store(config, caches, preferred, permitted)
    return store


def _config(repo: Repository, tip: str | None, root: str) -> tuple[Config, Path]:
    """The configuration of the DVC project in the folder `root` of a repository, and its `.dvc` on disk."""
    file = posixpath.join(root, ".dvc/config")
    shared = repo.read_file(tip, file) or b"" if tip else None
    if isinstance(repo, ImportedRepository):
        # Its relative paths start from where it lies; its cache there may be all that has the objects, as in DVC.
        folder = (repo.folder or repo.root) / root / ".dvc"
        config = read_config(folder, shared, imported_from=repo.origin.url)
        return overlay(config, repo.origin.remotes, repo.origin.default), folder
    in_git = any(commit and repo.entry(commit, f"{file}.local") for commit in (tip, repo.find_commit("HEAD")))
    folder = repo.root / root / ".dvc"
    return read_config(folder, shared, local_in_git=in_git), folder


def _caches(repo: Repository, config: Config, base: Path, root: str) -> list[Path]:
    chosen = config.get("cache", {}).get("dir")
    folders = [Path(chosen) if chosen else base / "cache"]
    # A linked work tree has a .dvc of its own, and usually nothing in its cache. The main one's is as good.
    if not repo.bare and repo.common_dir != repo.git_dir and not chosen:
        folders.append(repo.common_dir.parent / root / ".dvc" / "cache")
    return folders


def _at(folder: Path, name: str) -> Path:
    return folder / "files" / "md5" / name[:2] / name[2:]


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False


def _copy(source: Path, target: Path, name: str) -> tuple[int, bool]:
    """Copy an object. Returns its size in bytes, and whether it hashes to `name`."""
    digest, size = hashlib.md5(usedforsecurity=False), 0
    with source.open("rb") as incoming:
        with writing_to(target):
            outgoing = target.open("wb")
        try:
            while chunk := incoming.read(_CHUNK):
                digest.update(chunk)
                with writing_to(target):
                    outgoing.write(chunk)
                size += len(chunk)
        finally:
            with writing_to(target):
                outgoing.close()
    return size, digest.hexdigest() == name.removesuffix(".dir")


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
