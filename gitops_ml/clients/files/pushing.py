"""Pushes a commit that is built on the newest tip, also while other clones push.

The pushes of one process take turns: the hosts of an environment often record at the same moment, and would refuse each
other's pushes.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import PushRejected

PATIENCE = 20.0
"""How long a push waits for its turn, and is tried again while others push, in seconds."""
_FIRST_WAIT, _LONGEST_WAIT = 0.05, 2.0
_turn = threading.Lock()


class CommitContent(NamedTuple):
    """What a commit changes (None removes a file), and its message."""

    files: Mapping[str, bytes | None]
    message: str


def push_commit(repo: Repository, branch: str, build: Callable[[str, str], CommitContent], what: str) -> str:
    """Build a commit on the fetched tip of `branch` and push it, again while others push in between.

    Nothing is pushed where the commit would change nothing.

    Args:
        build: makes the commit's content, from the tracked branch's tip and the commit's parent.
        what: what the commit holds, for messages.

    Raises:
        PushRejected: the remote refused, or others were faster for `PATIENCE` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    with _own_turn(deadline):
        return _push(repo, branch, build, what, deadline)


@contextmanager
def _own_turn(deadline: float) -> Iterator[None]:
    """Wait until no other thread pushes. One whose push hangs is waited for no longer than until the deadline."""
    taken = _turn.acquire(timeout=max(0.0, deadline - time.monotonic()))
    try:
        yield
    finally:
        if taken:
            _turn.release()


def _push(repo: Repository, branch: str, build: Callable[[str, str], CommitContent], what: str, deadline: float) -> str:
    longest = _FIRST_WAIT
    while True:
        tip = repo.fetch()
        parent = repo.find_tip(branch)
        content = build(tip, parent or tip)
        commit = repo.commit_files(parent or tip, content.files, content.message) if content.files else parent or tip
        if commit == (parent or tip) or repo.advance(commit, parent, branch) == "pushed":
            return commit
        if time.monotonic() > deadline:
            raise PushRejected(
                f"{what} is not in Git", why=f"others were faster for {PATIENCE:.0f} s", fix="run the command again"
            )
        # A random wait ("full jitter"): clones that raced once would go on to race in step.
        time.sleep(random.uniform(0, longest))
        longest = min(2 * longest, _LONGEST_WAIT)
