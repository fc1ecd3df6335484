"""How the commits of a clone descend from each other, and what they changed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

import git

from gitops_ml.clients.git.clone import Clone
from gitops_ml.errors import SourceError

_AS_COMMITS = ("--no-commit-header", "--encoding=UTF-8", "--format=%H%n%an%n%ae%n%ct%n%B%x00")
_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Commit(NamedTuple):
    """One commit of a log; `time` is the committer's, in epoch seconds."""

    id: str
    author: str
    email: str
    time: int
    subject: str
    message: str


def is_ancestor(clone: Clone, older: str, newer: str) -> bool:
    """Whether the commit `newer` descends from `older` or is it. A commit missing from this clone has no relatives."""
    if older == newer:
        return True
    try:
        return clone.repo.is_ancestor(_commit(clone, older), _commit(clone, newer))
    except (git.GitCommandError, ValueError):
        return False


def log(clone: Clone, path: str, n: int, rev: str, since: str | None = None) -> list[Commit]:
    """The last `n` commits up to `rev` that touched `path` (any, if empty), newest first; none that `since` has too.

    GitPython's `iter_commits` fails on a commit that names an unknown encoding, and `git log` prints what the user's
    configuration adds; `rev-list` does neither.
    """
    revisions = [rev, *([f"^{since}"] if since else [])]
    result = clone.git.must("rev-list", f"--max-count={n}", *_AS_COMMITS, *revisions, "--", *([path] if path else []))
    return _parsed(result.out)


def find_commits(clone: Clone, identities: Iterable[str]) -> dict[str, Commit]:
    """These commits by their full ids, without those that this clone does not have, or that are no ids."""
    names = sorted({identity for identity in identities if _ID.fullmatch(identity)})
    if not names:
        return {}
    result = clone.git.must(
        *("rev-list", "--no-walk=unsorted", "--ignore-missing", *_AS_COMMITS, "--stdin"),
        stdin="".join(f"{name}\n" for name in names).encode(),
    )
    return {commit.id: commit for commit in _parsed(result.out)}


def commits_that_touch(clone: Clone, since: str, tip: str, paths: Iterable[str]) -> list[tuple[str, list[str]]]:
    """The commits of `tip` that `since` has not, and that changed a path, each with its parents; the oldest first.

    A merge counts if it differs there from any of its parents: `rev-list` with paths leaves out one that takes a side.
    """
    listed = clone.git.must("rev-list", "--topo-order", "--reverse", "--parents", tip, f"^{since}").lines
    parents = {commit: before for commit, *before in map(str.split, listed)}
    # Prints a commit's id for each parent that it differs from, and the paths, which are longer names.
    differing = clone.git.must(
        *("diff-tree", "--stdin", "-r", "-m", "--root", "--name-only", "--no-renames", "--", *paths),
        stdin="".join(f"{commit}\n" for commit in parents).encode(),
    )
    touching = parents.keys() & set(differing.lines)
    return [(commit, before) for commit, before in parents.items() if commit in touching]


def list_objects(clone: Clone, rev: str, path: str) -> list[str]:
    """The objects below `path` in `rev` and all commits before it, as `<id> <path>`; of each path the newest first."""
    listed = clone.git.must("rev-list", "--objects", rev, "--", path).out.decode("utf-8", "replace")
    return [line for line in listed.splitlines() if " " in line]


def _parsed(output: bytes) -> list[Commit]:
    commits = []
    for record in output.decode("utf-8", "replace").split("\0"):
        if record.strip():
            commit, author, email, time, message = record.lstrip("\n").split("\n", 4)
            commits.append(Commit(commit, author, email, int(time), message.split("\n", 1)[0], message.strip("\n")))
    return commits


def merge_base(clone: Clone, since: str, commit: str) -> str:
    """The last commit that both have in common. Raises SourceError without one."""
    base = clone.repo.merge_base(_commit(clone, since), _commit(clone, commit))
    if not base:
        raise SourceError(
            f"{since[:12]} and {commit[:12]} have no history in common",
            fix="fetch the whole history: actions/checkout with fetch-depth: 0",
        )
    return str(base[0].hexsha)


def changed_files(clone: Clone, since: str, commit: str) -> list[str]:
    """The paths that `commit` changed since it left `since`, sorted. Raises SourceError without a common ancestor."""
    return sorted(differing_files(clone, merge_base(clone, since, commit), commit))


def differing_files(clone: Clone, old: str, new: str) -> list[str]:
    """The paths whose contents differ between two commits."""
    return clone.git.must("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).records


def _commit(clone: Clone, identity: str) -> git.Commit:
    """GitPython's handle of a commit, by its full id; nothing is read. Raises ValueError for anything else."""
    return git.Commit(clone.repo, bytes.fromhex(identity))
