"""Trying whether the remote takes a commit as gitops-ml makes it: its author, sign-off and signature, pushed from here.

Servers judge these when a push arrives, and `push --dry-run` asks none of their rules. So an empty commit is pushed to
a ref of its own, which no branch rule, workflow or clone looks at, and is removed at once.
"""

from __future__ import annotations

from gitops_ml.clients.git import fetch
from gitops_ml.clients.git.clone import Clone
from gitops_ml.clients.git.commits import commit_files

_SECONDS = 30.0
_FILE = ".gitops-ml-doctor"
_REF = "refs/gitops-ml/doctor"
"""One name for all trials: a server that refuses to remove the ref keeps one at most."""


def refusal(clone: Clone, branch: str, tip: str) -> str:
    """Why a push of a record to `branch`, now at `tip`, would be refused; "" if nothing speaks against it.

    Raises SourceError when the commit cannot be made, as when signing fails.
    """
    trial = commit_files(clone, tip, {_FILE: b""}, "Try a push\n")
    push = ("push", "--porcelain", "--no-verify")
    remote = str(clone.remote)
    rehearsed = clone.git.run(*push, "--dry-run", "--", remote, f"{trial}:refs/heads/{branch}", timeout=_SECONDS)
    if rehearsed.code != 0:
        return fetch.reason(rehearsed)
    pushed = clone.git.run(*push, "--", remote, f"+{trial}:{_REF}", timeout=_SECONDS)
    if pushed.code != 0:
        return fetch.reason(pushed)
    clone.git.run(*push, "--", remote, f":{_REF}", timeout=_SECONDS)
    return ""
