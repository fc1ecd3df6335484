"""The versions of packages that a repository pins, from the lock files and requirements that teams have."""

from __future__ import annotations

import json
import posixpath
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any

from gitops_ml.artifacts.requirements import folded, pins
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError

MAX_BYTES = 16 << 20
_CONDA = re.compile(r"^([A-Za-z0-9][\w.-]*)==?([0-9][^\s=*]*)")
"""`name=version` or `name==version`, as conda's environment.yml has it; an `=build` may follow."""


def pinned_versions(repo: Repository, commit: str, folder: str) -> dict[str, tuple[str, str]]:
    """The exact version of each package, and the file that pins it, by normalized name.

    Files nearer to `folder` win over those above it, and locks win over requirements beside them. A file that cannot
    be read pins nothing.
    """
    versions: dict[str, tuple[str, str]] = {}
    for parent in _upwards(folder):
        names = repo.entries(commit, parent)
        for name in sorted(names, key=_rank):
            reader = _reader(name)
            path = posixpath.join(parent, name)
            data = repo.read_file(commit, path, MAX_BYTES) if reader else None
            for package, version in (_read(reader, data) if reader and data else {}).items():
                versions.setdefault(folded(package), (version, path))
    return versions


def _upwards(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        yield f"{folder}/requirements"
        folder = posixpath.dirname(folder)
    yield ""
    yield "requirements"


def _rank(name: str) -> tuple[int, str]:
    return (0 if name.endswith((".lock", ".toml")) else 1 if name == "requirements.txt" else 2, name)


def _reader(name: str) -> Callable[[bytes], dict[str, str]] | None:
    if name in ("uv.lock", "poetry.lock", "pdm.lock"):
        return lambda data: _tables(tomllib.loads(data.decode()).get("package"))
    if re.fullmatch(r"pylock(\.[^.]+)?\.toml", name):
        return lambda data: _tables(tomllib.loads(data.decode()).get("packages"))
    if name == "Pipfile.lock":
        return _pipfile
    if name in ("environment.yml", "environment.yaml", "conda.yaml"):
        return _conda
    if (name.endswith(".txt") and "require" in name) or re.fullmatch(
        r"(requirements|dev|prod|base|train|lock).*\.txt", name
    ):
        return lambda data: pins(data.decode("utf-8-sig"))
    return None


def _read(reader: Callable[[bytes], dict[str, str]], data: bytes) -> dict[str, str]:
    try:
        return reader(data)
    except (ValueError, InputError, RecursionError, TypeError, AttributeError):  # other people's files
        return {}


def _tables(packages: Any) -> dict[str, str]:
    return {str(package["name"]): str(package["version"]) for package in packages or () if "version" in package}


def _pipfile(data: bytes) -> dict[str, str]:
    default = json.loads(data).get("default") or {}
    return {
        name: spec["version"][2:] for name, spec in default.items() if str(spec.get("version", "")).startswith("==")
    }


def _conda(data: bytes) -> dict[str, str]:
    versions: dict[str, str] = {}
    for entry in (load(data, "environment.yml") or {}).get("dependencies") or ():
        lines = entry.get("pip") or () if isinstance(entry, dict) else (entry,)
        for line in lines:
            match = _CONDA.match(str(line))
            if match:
                versions[match[1]] = match[2]
    return versions
