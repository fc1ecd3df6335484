"""What a .dvc file says of the place that its output is imported from: `dvc import` and `dvc import-url`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from gitops_ml.core.reach import HOST_OPTIONS, asked_addresses
from gitops_ml.core.versions.documents import Entry

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


class ImportOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The path of another repository that `dvc import` brought.

    `rev` is a commit, or what the import names where it has none; "" for the other repository's main branch. `remotes`
    are options that the import sets for remotes of the other repository, by their names ("": its default one), and
    `default` is the remote that it reads instead of the default one.
    """

    url: str
    path: str
    rev: str = ""
    remotes: dict[str, dict[str, str]] = {}
    default: str | None = None


def origin_of(deps: Iterable[Entry]) -> ImportOrigin | None:
    """Where `dvc import` brought an output from; None for any other output."""
    for entry in deps:
        if isinstance(entry.repo, Mapping):
            repo = entry.repo
            config = repo.get("config")
            named = config.get("remote") if isinstance(config, Mapping) else None
            core = config.get("core") if isinstance(config, Mapping) else None
            remotes = {str(name).lower(): _texts(o) for name, o in named.items()} if isinstance(named, Mapping) else {}
            remote = repo.get("remote") or (core.get("remote") if isinstance(core, Mapping) else None)
            if isinstance(remote, Mapping):
                remotes[""], remote = _texts(remote), None
            return ImportOrigin(
                url=str(repo.get("url") or ""),
                path=entry.path,
                rev=str(repo.get("rev_lock") or repo.get("rev") or ""),
                remotes=remotes,
                default=str(remote).lower() if remote else None,
            )
    return None


def asked_by_import(deps: Iterable[Entry]) -> Iterator[str]:
    """The addresses that an import asks: the repository or the URL, and the remotes that it brings along."""
    for entry in deps:
        if isinstance(entry.repo, Mapping):
            yield str(entry.repo.get("url") or "")
        elif _URL.match(entry.path) and not entry.path.startswith("remote://"):
            yield entry.path
        for options in _own_remotes(entry):
            if options.get("url"):
                yield str(options["url"])
            yield from asked_addresses(options)


def host_settings(entries: Iterable[Entry]) -> Iterator[str]:
    """The keys of dependencies and outputs that only the host's operator may set: programs and files of the host."""
    for entry in entries:
        for options in _own_remotes(entry):
            yield from (str(key) for key in options if str(key).lower() in HOST_OPTIONS)
        config = entry.repo.get("config") if isinstance(entry.repo, Mapping) else None
        if isinstance(config, str):  # the path of a file with any settings at all
            yield "config"
        for section, options in config.items() if isinstance(config, Mapping) else ():
            if section != "remote":
                keys = options if isinstance(options, Mapping) else ()
                yield from (f"{section}.{key}" for key in keys if (section, key) != ("core", "remote"))


def _own_remotes(entry: Entry) -> Iterator[Mapping[Any, Any]]:
    """Options that an entry sets for what it reads: of remotes (in `config`, and as `remote`), and as `fs_config`."""
    repo = entry.repo if isinstance(entry.repo, Mapping) else {}
    config = repo.get("config")
    remotes = config.get("remote") if isinstance(config, Mapping) else None
    candidates = [
        *(remotes.values() if isinstance(remotes, Mapping) else ()),
        repo.get("remote"),
        entry.fs_config,
    ]
    yield from (options for options in candidates if isinstance(options, Mapping))


def _texts(options: Any) -> dict[str, str]:
    return {str(key).lower(): str(value) for key, value in options.items()} if isinstance(options, Mapping) else {}
