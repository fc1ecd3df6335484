"""Pushes a commit that is built on the newest tip, also while other clones push."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import PushRejected

PATIENCE = 20.0
"""How long a push is tried again while others push, in seconds."""
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0


class Commit(NamedTuple):
    """What a commit changes (None removes a file), and its message."""

    files: Mapping[str, bytes | None]
    message: str


def push_commit(repo: Repository, branch: str, build: Callable[[str, str], Commit], what: str) -> str:
    """Build a commit on the fetched tip of `branch` and push it, again while others push in between.

    Nothing is pushed where the commit would change nothing.

    Args:
        build: makes the commit's content, from the tracked branch's tip and the commit's parent.
        what: what the commit holds, for messages.

    Raises:
        PushRejected: the remote refused, or others were faster for `PATIENCE` seconds.
    """
    started, longest = time.monotonic(), _FIRST_WAIT
    while True:
        tip = repo.fetch()
        parent = repo.find_tip(branch)
        content = build(tip, parent or tip)
        commit = repo.commit_files(parent or tip, content.files, content.message) if content.files else parent or tip
        if commit == (parent or tip) or repo.advance(commit, parent, branch) == "pushed":
            return commit
        if time.monotonic() - started > PATIENCE:
            raise PushRejected(
                f"{what} is not in Git", why=f"others were faster for {PATIENCE:.0f} s", fix="run the command again"
            )
        # A random wait ("full jitter"): clones that raced once would go on to race in step.
        time.sleep(random.uniform(0, longest))
        longest = min(2 * longest, _LONGEST_WAIT)
