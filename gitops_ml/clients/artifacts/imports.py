"""The other repository that `dvc import` names, opened as a repository of ours.

DVC would read the other repository's configuration by itself, and follow its imports. Read by our own code, every
repository on the way is judged as the first one is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitops_ml.clients.artifacts.scratch import scratch_folder
from gitops_ml.clients.git.fetch import FETCH_SECONDS, reason
from gitops_ml.clients.git.process import Git, redact
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.imports import ImportOrigin
from gitops_ml.errors import SourceUnavailable, VersionRefused

_BRANCH = "refs/heads/imported"
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@~^-]*")
_MAX_DEEP = 8
"""How many imports may follow each other."""


class ImportedRepository(Repository):
    """Another repository at the commit that an import pins, which is its tip. Open it with `open_import`.

    `folder` is where it lies on this machine, None where it does not. `depth` counts the imports up to it.
    """

    origin: ImportOrigin
    folder: Path | None
    depth: int


@contextmanager
def open_import(importer: Repository, origin: ImportOrigin) -> Iterator[ImportedRepository]:
    """Fetch one commit of the repository that `origin` names into a temporary folder. Its addresses are judged before.

    Raises:
        SourceUnavailable: the repository does not answer, or does not have the commit.
        VersionRefused: the commit's name is none, or too many imports follow each other.
    """
    depth = importer.depth + 1 if isinstance(importer, ImportedRepository) else 1
    if depth > _MAX_DEEP:
        raise VersionRefused(
            f"{origin.path} is imported from {redact(origin.url)}",
            why=f"more than {_MAX_DEEP} imports follow each other, perhaps in a circle",
            fix="import it from the repository that makes it: dvc import URL PATH",
        )
    if origin.rev and not _REVISION.fullmatch(origin.rev):
        raise VersionRefused(
            f"an import from {redact(origin.url)} names the revision {origin.rev!r}",
            fix="dvc update --rev BRANCH FILE.dvc",
        )
    base = importer.folder or importer.root if isinstance(importer, ImportedRepository) else importer.root
    place = Path(base, os.path.expanduser(origin.url))  # noqa: PTH111 (leaves `~nobody` alone)
    folder = place if origin.url and place.is_dir() else None
    with scratch_folder() as scratch:
        _fetch(Git.at(scratch), str(folder or origin.url), origin)
        with ImportedRepository.open(scratch) as imported:
            imported.origin, imported.folder, imported.depth = origin, folder, depth
            yield imported


def _fetch(commands: Git, url: str, origin: ImportOrigin) -> None:
    commands.must("init", "--quiet", "--template=", f"--initial-branch={_BRANCH.rpartition('/')[2]}")
    fetch = (
        *("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance"),
        *("--no-recurse-submodules", "--update-head-ok"),
    )
    revision = origin.rev or "HEAD"
    fetched = commands.run(*fetch, "--depth=1", "--", url, f"+{revision}:{_BRANCH}", timeout=FETCH_SECONDS)
    if fetched.code > 0:  # the server gives no commit by its id, or `revision` is no name there
        everything = ("+refs/heads/*:refs/fetched/*", "+refs/tags/*:refs/tags/*")
        whole = commands.run(*fetch, "--", url, *everything, timeout=FETCH_SECONDS)
        commit = commands.run("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").text
        if whole.code == 0 and commit:
            commands.must("update-ref", _BRANCH, commit)
            return
    if fetched.code != 0:
        raise SourceUnavailable(
            f"{revision} of {redact(origin.url)} cannot be fetched",
            why=reason(fetched),
            fix=f"correct its url, rev or credentials until this works: git ls-remote {redact(origin.url)}",
        )
