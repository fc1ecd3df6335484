"""DVC's caches and remotes as what they are: folders of objects named by their md5.

Local folders are read directly, since importing DVC takes a second. Any other kind of remote (S3, SSH, HTTP
…) goes through DVC's own file systems, in `models_dvc`. No byte leaves here unhashed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import ObjectCorrupt, ObjectMissing

Config = dict[str, dict[str, str]]
_SECTION = re.compile(r"\[\s*(?P<quote>['\"]?)(?P<name>.*?)(?P=quote)\s*\]\s*(#.*)?")
_URL = re.compile(r"\w+://")
_PATHS = ("url", "keyfile", "cert_path", "key_path", "credentialpath", "configpath")
_CHUNK = 1 << 20


class Remote(NamedTuple):
    """One DVC remote. `folder` is None where it is no local folder, or one whose layout only DVC knows."""

    name: str
    url: str
    folder: Path | None


class Store:
    """The cache and the remotes of one DVC project at one clone; `config` is by section, paths made absolute."""

    def __init__(self, config: Config, caches: list[Path], preferred: str | None) -> None:
        self.config = config
        self.caches = caches
        self.remotes = _remotes(config, preferred)

    def copy(self, name: str, target: Path, what: str) -> int:
        """Write the object `name` (`<md5>` or `<md5>.dir`) to `target`, hashed on its way; its size in bytes.

        A corrupt object is passed over while another place may have it whole.

        Raises:
            ObjectCorrupt: no place has it whole, and one has it broken; `what` names what it is.
            ObjectMissing: no place has it.
            SourceUnavailable: no place that answers has it, and one does not answer.
        """
        broken: list[str] = []
        for place in self._folders(name):
            try:
                size, whole = _copy(place, target, name)
            except OSError:
                continue
            if whole:
                return size
            broken.append(str(place))
        far = [remote for remote in self.remotes if remote.folder is None]
        unavailable: Exception | None = None
        for remote in far:
            from gitops_ml.clients.artifacts import dvc
            from gitops_ml.errors import SourceUnavailable

            try:
                if not dvc.download_object(self, remote.name, name, target):
                    continue
            except SourceUnavailable as error:
                unavailable = error
                continue
            if _md5(target) == name.removesuffix(".dir"):
                return target.stat().st_size
            broken.append(f"{remote.url} (remote {remote.name})")
        target.unlink(missing_ok=True)
        if unavailable is not None:
            raise unavailable
        if broken:
            raise ObjectCorrupt(
                f"the bytes of {what} do not hash to their digest md5:{name}",
                why=f"broken: {', '.join(broken)}",
                fix=f"remove what is broken, then dvc push {what} from where it is whole (or dvc repro, dvc push)",
            )
        raise ObjectMissing(
            f"the bytes of {what} (md5:{name}) are nowhere",
            why=f"looked in {', '.join(map(str, self.caches)) or 'no cache'} and "
            + (f"the remotes {', '.join(r.name for r in self.remotes)}" if self.remotes else "no DVC remote is set up"),
            fix="dvc push, where the model was made" if self.remotes else "dvc remote add -d NAME URL, then dvc push",
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
        found = ["cache"] if all(any(_at(c, n).is_file() for c in self.caches) for n in wanted) else []
        for remote in self.remotes:
            if remote.folder is not None:
                has = all(_at(remote.folder, name).is_file() for name in wanted)
            else:
                from gitops_ml.clients.artifacts import dvc

                has = dvc.has_objects(self, remote.name, wanted)
            found += [remote.name] if has else []
        return found

    def _folders(self, name: str) -> Iterator[Path]:
        for folder in [*self.caches, *(r.folder for r in self.remotes if r.folder is not None)]:
            yield _at(folder, name)


_STORES: Memo[tuple[str | None, str, str | None], Store] = Memo()
"""Stores by tip, folder and preferred remote."""


def store_of(repo: Repository, folder: str = "", preferred: str | None = None) -> Store:
    """The store of the DVC project around `folder`, relative to the repository's root.

    The project's shared configuration is the fetched tip's: old versions are fetched from where the project
    keeps its models now. What is this clone's alone (`config.local`), the user's and the system's come from
    their files.

    Args:
        preferred: the remote that an output names for itself; it is looked into first.
    """
    tip = repo.find_tip()
    root = folder
    while root and not (repo.root / root / ".dvc").is_dir() and not (tip and repo.entry(tip, f"{root}/.dvc")):
        root = posixpath.dirname(root)
    stores = _STORES.of(repo)
    if (store := stores.get((tip, root, preferred))) is None:
        base = repo.root / root / ".dvc"
        shared = repo.read_file(tip, posixpath.join(root, ".dvc/config")) if tip else _bytes(base / "config")
        config: Config = {}
        for data, place in (
            (_bytes(_user_folder("DVC_SYSTEM_CONFIG_DIR", "", "/etc/xdg") / "config"), None),
            (_bytes(_user_folder("DVC_GLOBAL_CONFIG_DIR", "XDG_CONFIG_HOME", "~/.config") / "config"), None),
            (shared, base),
            (_bytes(base / "config.local"), base),
        ):
            for section, values in _parse(data or b"", place or base).items():
                config.setdefault(section, {}).update(values)
        store = stores[tip, root, preferred] = Store(config, _caches(repo, config, base, root), preferred)
    return store


def _caches(repo: Repository, config: Config, base: Path, root: str) -> list[Path]:
    chosen = config.get("cache", {}).get("dir")
    folders = [Path(chosen)] if chosen else [base / "cache"]
    # A linked work tree has a .dvc of its own, and usually nothing in its cache: what the main one has is as
    # good.
    if not repo.bare and repo.common_dir != repo.git_dir and not chosen:
        folders.append(repo.common_dir.parent / root / ".dvc" / "cache")
    return folders


def _user_folder(variable: str, base: str, default: str) -> Path:
    if chosen := os.environ.get(variable):
        return Path(chosen)
    return Path(os.environ.get(base) or default if base else default).expanduser() / "dvc"


def _parse(data: bytes, folder: Path) -> Config:
    """DVC's configuration (an ini file as configobj writes it), local paths made absolute from `folder`."""
    config: Config = {}
    section = ""
    for raw in data.decode("utf-8", "replace").splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if match := _SECTION.fullmatch(line):
            section = re.sub(r"\s+", " ", match["name"].strip())
        elif "=" in line:
            key, _, value = (part.strip() for part in line.partition("="))
            quoted = re.match(r"""(['"])(.*?)\1""", value)
            value = quoted[2] if quoted else re.split(r"\s+#", value)[0].strip()
            key = key.strip("'\"").lower()
            if (key in _PATHS or (section == "cache" and key == "dir")) and not _URL.match(value):
                # abspath, since resolve() would follow links, and DVC does not.
                value = os.path.abspath(folder / Path(value).expanduser())  # noqa: PTH100
            config.setdefault(section, {})[key] = value
    return config


def _remotes(config: Config, preferred: str | None) -> list[Remote]:
    names = [s[8:].rstrip('"') for s in config if s.startswith('remote "')]
    first = [preferred, config.get("core", {}).get("remote")]
    ordered = [n for n in dict.fromkeys(first) if n in names] + [n for n in names if n not in first]
    found = []
    for name in ordered:
        options = config[f'remote "{name}"']
        url = _based(config, options.get("url", ""))
        own_layout = any(options.get(flag, "").lower() == "true" for flag in ("version_aware", "worktree"))
        folder = Path(url) if url and not _URL.match(url) and not own_layout else None
        found.append(Remote(str(name), url, folder))
    return [remote for remote in found if remote.url]


def _based(config: Config, url: str) -> str:
    """`url` with `remote://<name>/` replaced by that remote's own."""
    for _ in range(8):
        if not url.startswith("remote://"):
            break
        name, _, rest = url.removeprefix("remote://").partition("/")
        url = posixpath.join(config.get(f'remote "{name}"', {}).get("url", ""), rest)
    return url


def _at(folder: Path, name: str) -> Path:
    return folder / "files" / "md5" / name[:2] / name[2:]


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _copy(source: Path, target: Path, name: str) -> tuple[int, bool]:
    """Copy, and say how many bytes and whether they hash to `name`."""
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


def dvc_settings(config: Config) -> dict[str, Any]:
    """`config` as DVC's own `Config` takes it: remotes by name under `remote`."""
    found: dict[str, Any] = {}
    for section, values in config.items():
        if section.startswith('remote "'):
            found.setdefault("remote", {})[section[8:].rstrip('"')] = dict(values)
        else:
            found[section] = dict(values)
    return found
