"""DVC's configuration of one project, read from its ini files without DVC, whose import takes a second.

The format is configobj's, as DVC writes it: `['remote "name"']` sections of `key = value` lines.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any, NamedTuple

from gitops_ml.errors import InputError

Config = dict[str, dict[str, str]]
"""Values by section and key."""

MAX_BYTES = 1 << 20
_SECTION = re.compile(r"\[\s*(?P<quote>['\"]?)(?P<name>.*?)(?P=quote)\s*\]\s*(#.*)?")
_REMOTE = re.compile(r'remote "(.+)"')
_URL = re.compile(r"\w+://")
_PATHS = ("url", "keyfile", "cert_path", "key_path", "credentialpath", "configpath")
_MAX_REMOTES_DEEP = 8


class Remote(NamedTuple):
    """One DVC remote. `folder` is None where it is no local folder, or one whose layout only DVC knows."""

    name: str
    url: str
    folder: Path | None


def read_config(folder: Path, shared: bytes | None = None) -> Config:
    """Read the configuration of a DVC project: the system's, the user's, the project's, and this clone's own.

    Args:
        folder: the project's `.dvc`, from which its relative paths start.
        shared: the content of the project's own `config`, as a commit has it; None reads the file.

    Raises:
        InputError: a file is too large, or holds control characters.
    """
    config: Config = {}
    levels = [_level_folder("system"), _level_folder("global"), folder]
    files = [level / "config" for level in levels] + [folder / "config.local"]
    for file in files:
        data = shared if shared is not None and file == folder / "config" else _bytes(file)
        for section, values in _parse(data, file).items():
            config.setdefault(section, {}).update(values)
    return config


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
    first = [name for name in (preferred, default_remote(config)) if name in names]
    remotes = []
    for name in dict.fromkeys([*first, *names]):
        options = config[_section(str(name))]
        url = _resolve(config, options.get("url", ""))
        own_layout = any(options.get(flag, "").lower() == "true" for flag in ("version_aware", "worktree"))
        folder = Path(url) if url and not _URL.match(url) and not own_layout else None
        remotes.append(Remote(str(name), url, folder))
    return [remote for remote in remotes if remote.url]


def default_remote(config: Config) -> str | None:
    """The remote that `dvc push` uses without `-r`."""
    return config.get("core", {}).get("remote")


def dvc_settings(config: Config) -> dict[str, Any]:
    """`config` as DVC's own `Config` takes it: remotes by name under `remote`."""
    settings: dict[str, Any] = {}
    for section, values in config.items():
        if match := _REMOTE.fullmatch(section):
            settings.setdefault("remote", {})[match[1]] = dict(values)
        else:
            settings[section] = dict(values)
    return settings


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
            section = re.sub(r"\s+", " ", match["name"].strip())
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
        url = posixpath.join(config.get(_section(name), {}).get("url", ""), rest)
    return ""
