"""Commits made by plumbing, so that neither the user's index nor work tree nor hooks ever notice.

GitPython's `IndexFile.from_tree` moves the user's index away meanwhile, and `Commit.create_from_tree` does not sign.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.git.clone import Clone
from gitops_ml.errors import SourceError


class Author(NamedTuple):
    """Who a commit is said to be by."""

    name: str
    email: str


AUTHOR = Author("gitops-ml", "gitops-ml@localhost")


def record_author(config: Mapping[str, str]) -> Author:
    """The author of what gitops-ml writes by itself: as git is told by GIT_AUTHOR_* or `author.*`, else gitops-ml.

    Not `user.*`: a verdict is not what a person wrote. Some remotes take commits of certain authors only.
    """
    name = os.environ.get("GIT_AUTHOR_NAME") or config.get("author.name")
    email = os.environ.get("GIT_AUTHOR_EMAIL") or config.get("author.email")
    return Author(name or AUTHOR.name, email or AUTHOR.email)


def identity(config: Mapping[str, str]) -> dict[str, str]:
    """The committer of our commits and tags: the user's Git identity, if there is one, else gitops-ml."""
    name = os.environ.get("GIT_COMMITTER_NAME") or config.get("committer.name") or config.get("user.name")
    email = os.environ.get("GIT_COMMITTER_EMAIL") or config.get("committer.email") or config.get("user.email")
    return {"GIT_COMMITTER_NAME": name or AUTHOR.name, "GIT_COMMITTER_EMAIL": email or AUTHOR.email}


def user_author(config: Mapping[str, str]) -> Author:
    """The author of a person's edit that is committed by plumbing: the user's Git identity, else gitops-ml."""
    who = identity(config)
    name, email = config.get("user.name"), config.get("user.email")
    return Author(name or who["GIT_COMMITTER_NAME"], email or who["GIT_COMMITTER_EMAIL"])


def signs_off(config: Mapping[str, str]) -> bool:
    """Whether the user has asked git for sign-offs, by `format.signOff`."""
    return is_true(config, "format.signoff")


def is_true(config: Mapping[str, str], key: str) -> bool:
    """Whether a switch of Git's configuration is on. A key without `=`, which is listed as empty, is on."""
    return key in config and config[key].lower() in ("true", "yes", "on", "1", "")


def commit_files(
    clone: Clone, parent: str, changes: Mapping[str, bytes | None], message: str, author: Author | None = None
) -> str:
    """A commit on `parent` with `changes` (None removes a file), touching neither index, work tree nor any ref.

    Returns `parent` itself when nothing changes. Raises SourceError when it cannot be made, as when signing fails.
    """
    git = clone.git
    lines = bytearray()
    for path, data in sorted(changes.items()):
        entry = clone.entry(parent, path)
        if data is None:
            if entry is not None:
                lines += f"0 {'0' * len(parent)}\t{path}\0".encode("utf-8", "surrogateescape")
            continue
        blob = git.must("hash-object", "-w", "--stdin", stdin=data).text
        if entry is not None and entry.id == blob:
            continue
        mode = entry.mode if entry is not None and entry.mode.startswith("100") else "100644"
        lines += f"{mode} {blob}\t{path}\0".encode("utf-8", "surrogateescape")
    if not lines:
        return parent
    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        git.must("read-tree", parent, env=index)
        git.must("update-index", "-z", "--index-info", stdin=bytes(lines), env=index)
        tree = git.must("write-tree", env=index).text
    author = author or record_author(clone.config)
    who = identity(clone.config) | {"GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.email}
    if signs_off(clone.config):
        message = _with_sign_off(message, who["GIT_COMMITTER_NAME"], who["GIT_COMMITTER_EMAIL"])
    signed = ["-S"] if is_true(clone.config, "commit.gpgsign") else []
    made = git.run("commit-tree", *signed, "-p", parent, tree, stdin=message.encode(), env=who)
    if made.code != 0:
        raise SourceError(
            "the commit could not be made",
            why=made.messages[-300:],
            fix="git commit --allow-empty -S -m test shows it too" if signed else "git config user.name",
        )
    return made.text


def _with_sign_off(message: str, name: str, email: str) -> str:
    """The message with a trailer, as `git commit --signoff` adds it. `git interpret-trailers` obeys `trailer.*`."""
    lines = message.rstrip("\n").split("\n")
    joined = len(lines) > 1 and re.match(r"[A-Za-z0-9-]+: ", lines[-1])
    return "\n".join([*lines, *([] if joined else [""]), f"Signed-off-by: {name} <{email}>"]) + "\n"
