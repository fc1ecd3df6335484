"""DVC's configuration of one project, read from its ini files without DVC, whose import takes a second.

The format is configobj's, as DVC writes it: `['remote "name"']` sections of `key = value` lines.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gitops_ml.clients.git.process import redact
from gitops_ml.core.reach import HOST_OPTIONS, asked_addresses
from gitops_ml.errors import InputError

Config = dict[str, dict[str, str]]
"""Values by section and key."""

MAX_BYTES = 1 << 20
_SECTION = re.compile(r"\[\s*(?P<quote>['\"]?)(?P<name>.*?)(?P=quote)\s*\]\s*(#.*)?")
_REMOTE = re.compile(r'remote "(.+)"')
_URL = re.compile(r"\w+://")
_PATHS = (
    *("url", "keyfile", "cert_path", "key_path", "credentialpath", "configpath"),
    *("gdrive_service_account_json_file_path", "gdrive_user_credentials_file"),
)
_ASKING = ("ask_password", "ask_passphrase")
"""Options that make DVC ask a person, who is not there."""
_MAX_REMOTES_DEEP = 8


class Remote(NamedTuple):
    """One DVC remote. `folder` is None where it is no local folder, or one whose layout only DVC knows.

    `addresses`: all that it asks: its URL, and the service's endpoint if its options name one.
    """

    name: str
    url: str
    folder: Path | None
    addresses: tuple[str, ...]


def read_config(
    folder: Path, shared: bytes | None = None, *, imported_from: str = "", local_in_git: bool = False
) -> Config:
    """Read the configuration of a DVC project: the system's, the user's, the project's, and this clone's own.

    Args:
        folder: the project's `.dvc`, from which its relative paths start.
        shared: the content of the project's own `config`, as a commit has it; None reads the file.
        imported_from: the address of the other repository whose configuration it is, "" for a clone of ours.
        local_in_git: whether a commit holds `config.local`, so that whoever pushes decides about its content.

    Raises:
        InputError: a file is too large, or holds control characters; or what Git has, or another repository says, sets
            one of `HOST_OPTIONS`.
    """
    config: Config = {}
    committed, own = folder / "config", folder / "config.local"
    levels = [_level_folder("system"), _level_folder("global"), folder]
    files = [level / "config" for level in levels] + [own]
    for file in files:
        data = shared if shared is not None and file == committed else _bytes(file)
        for section, values in _parse(data, file).items():
            if file == committed or (file == own and (imported_from or local_in_git)):
                _require_no_program(section, values, file.name, imported_from)
            config.setdefault(section, {}).update(values)
    return config


def overlay(config: Config, remotes: Mapping[str, Mapping[str, str]], default: str | None) -> Config:
    """`config` with options of an import: for remotes by their names ("": the default one), and for the default one."""
    merged = {section: dict(values) for section, values in config.items()}
    if default:
        merged.setdefault("core", {})["remote"] = default
    for name, options in remotes.items():
        if name or default_remote(merged):
            merged.setdefault(_section(name or str(default_remote(merged))), {}).update(options)
    return merged


def _require_no_program(section: str, values: dict[str, str], file: str, imported_from: str) -> None:
    for key in values:
        if key in HOST_OPTIONS:
            remote = match[1] if (match := _REMOTE.fullmatch(section)) else "<remote>"
            level = "--global" if imported_from else "--local"
            place = f".dvc/{file} of {redact(imported_from)}" if imported_from else f".dvc/{file}"
            raise InputError(
                f"{place} sets `{key}` of the remote {remote}",
                why="whoever can push could name a program there that would run on this machine, or a file of it",
                fix="git rm --cached .dvc/config.local"
                if file == "config.local" and not imported_from
                else f"remove it there, and set it for this {'machine' if imported_from else 'clone'} alone: "
                f"dvc remote modify {level} {remote} {key} <value>",
            )


def _level_folder(level: str) -> Path:
    """The folder of the `system` or `global` level, as DVC finds it on Linux."""
    if chosen := os.environ.get(f"DVC_{level.upper()}_CONFIG_DIR"):
        return Path(chosen)
    if level == "system":
        return Path("/etc/xdg/dvc")
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "dvc"  # noqa: PTH111


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def remotes_of(config: Config, preferred: str | None = None) -> list[Remote]:
    """The remotes that have a URL: `preferred` first, then the default one, then the others as they are written."""
    names = [match[1] for section in config if (match := _REMOTE.fullmatch(section))]
    first = [name for name in (preferred and preferred.lower(), default_remote(config)) if name in names]
    remotes = []
    for name in dict.fromkeys([*first, *names]):
        options = config[_section(str(name))]
        url = _resolve(config, options.get("url", ""))
        own_layout = any(options.get(flag, "").lower() == "true" for flag in ("version_aware", "worktree"))
        folder = Path(url) if url and not _URL.match(url) and not own_layout else None
        every = [config.get(_section(other), {}) for other in referred(config, str(name))]
        endpoints = [address for each in every for address in asked_addresses(each)]
        remotes.append(Remote(str(name), url, folder, (url, *endpoints)))
    return [remote for remote in remotes if remote.url]


def default_remote(config: Config) -> str | None:
    """The remote that `dvc push` uses without `-r`."""
    name = config.get("core", {}).get("remote")
    return name.lower() if name else None


def dvc_settings(config: Config, remotes: Collection[str], own: Path) -> dict[str, Any]:
    """What DVC is told of `config`, as its own `Config` takes it: only what reading from `remotes` needs.

    Args:
        remotes: the names of the remotes that may be read, and of those that they refer to.
        own: a folder for what DVC keeps for itself, wherever the project's configuration puts that.
    """
    settings: dict[str, Any] = {"core": {"site_cache_dir": str(own), "autostage": False}, "remote": {}}
    if (default := default_remote(config)) in remotes:
        settings["core"]["remote"] = default
    for name in remotes:
        options = config.get(_section(name), {})
        settings["remote"][name] = {key: value for key, value in options.items() if key not in _ASKING}
    if directory := config.get("cache", {}).get("dir"):
        settings["cache"] = {"dir": directory}
    return settings


def remote_names(config: Config) -> list[str]:
    """The names of all remotes, those without a URL and those that refer to each other too."""
    return [match[1] for section in config if (match := _REMOTE.fullmatch(section))]


def referred(config: Config, remote: str) -> list[str]:
    """`remote`, and the remotes that its URL refers to (`remote://name/…`), one after the other."""
    names = [remote]
    for _ in range(_MAX_REMOTES_DEEP):
        url = config.get(_section(names[-1]), {}).get("url", "")
        if not url.startswith("remote://"):
            break
        names.append(url.removeprefix("remote://").partition("/")[0].lower())
    return names


def _section(remote: str) -> str:
    return f'remote "{remote}"'


def _parse(data: bytes, path: Path) -> Config:
    """Parse one file. Local paths in it start from its folder, and are made absolute."""
    if len(data) > MAX_BYTES:
        raise InputError(f"{path} has {len(data)} bytes", why=f"at most {MAX_BYTES} are read", fix="make it smaller")
    config: Config = {}
    section = ""
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        line = raw.strip()
        if any(c < " " and c != "\t" for c in line):
            raise InputError(f"{path}:{number} holds a control character", fix=f"edit {path}")
        if not line or line.startswith("#"):
            continue
        if match := _SECTION.fullmatch(line):
            section = re.sub(r"\s+", " ", match["name"].strip()).lower()
        elif "=" in line:
            key, value = _setting(line)
            if key in _PATHS or (section == "cache" and key == "dir"):
                value = _absolute(value, path.parent)
            config.setdefault(section, {})[key] = value
    return config


def _setting(line: str) -> tuple[str, str]:
    key, _, value = (part.strip() for part in line.partition("="))
    quoted = re.match(r"""(['"])(.*?)\1""", value)
    return key.strip("'\"").lower(), quoted[2] if quoted else re.split(r"\s+#", value)[0].strip()


def _absolute(value: str, folder: Path) -> str:
    if not value or _URL.match(value):
        return value
    # expanduser leaves `~nobody` alone; abspath, since resolve() would follow links, and DVC does not.
    return os.path.abspath(folder / os.path.expanduser(value))  # noqa: PTH100, PTH111


def _resolve(config: Config, url: str) -> str:
    """`url` with `remote://<name>/` replaced by that remote's own; "" where remotes refer to each other in a circle."""
    for _ in range(_MAX_REMOTES_DEEP):
        if not url.startswith("remote://"):
            return url
        name, _, rest = url.removeprefix("remote://").partition("/")
        name = name.lower()
        url = posixpath.join(config.get(_section(name), {}).get("url", ""), rest)
    return ""
