"""Pushes: believed only once the remote's ref was read back. Never forced, but for a branch of our own.

By plumbing: GitPython's `Remote.push` has no gentle time-out, and its `PushInfo` tells what the remote said, which a
hook of the remote can make untrue. What counts here is the ref that is read back.
"""

from __future__ import annotations

from typing import Literal

from gitops_ml.clients.git import fetch, worktree
from gitops_ml.clients.git.clone import Clone
from gitops_ml.clients.git.history import is_ancestor
from gitops_ml.clients.git.process import GitResult
from gitops_ml.errors import PushRejected, SourceError, SourceUnavailable

_PUSH_SECONDS = 120.0

PushOutcome = Literal["pushed", "raced"]
"""`pushed`: the ref was read back and holds the commit. `raced`: someone else moved the branch first."""


def advance(clone: Clone, commit: str, expected_old: str | None, branch: str) -> PushOutcome:
    """Move `branch` from `expected_old` (None: it does not exist) to its descendant `commit`. See `Repository`."""
    ref = f"refs/heads/{branch}"
    clone.require_ref(ref)
    if expected_old is not None and not is_ancestor(clone, expected_old, commit):
        raise SourceError(
            f"{commit[:12]} does not descend from {expected_old[:12]}",
            why="pushing it would drop what is on the branch",
            fix="make the commit on the fetched tip",
        )
    if clone.remote is None:
        return "pushed" if worktree.move_branch(clone, branch, commit, expected_old) == commit else "raced"
    lease = f"--force-with-lease={ref}:{expected_old or ''}"
    pushed, now = _push(clone, f"{commit}:{ref}", ref, "--no-verify", lease, hooks=False)
    if now == commit or (now is not None and pushed.code == 0 and _built_upon(clone, now, commit)):
        # The next reader need not fetch to see it.
        clone.git.run("update-ref", f"{clone.mirror('heads')}/{branch}", now)
        return "pushed"
    if now != expected_old:
        return "raced"
    raise PushRejected(
        f"{clone.remote} did not take {commit[:12]} on {branch}",
        why=fetch.reason(pushed),
        fix=f"let this identity push to {branch}, or set records: {{branch: <name>}} in environment.yaml; "
        "where a rule is on authors, sign-offs or signatures: gitops-ml doctor",
    )


def push_tag(clone: Clone, name: str) -> None:
    """Push a tag with the user's hooks, and read it back. Raises PushRejected. Does nothing without a remote."""
    if clone.remote is None:
        return
    ref = f"refs/tags/{name}"
    own = clone.ref(ref)
    pushed, now = _push(clone, f"{ref}:{ref}", ref)
    if own is not None and now == own:
        clone.git.run("update-ref", f"{clone.mirror('tags')}/{name}", own)
        return
    raise PushRejected(
        f"{clone.remote} did not take the tag {name}",
        why=f"it has another tag of that name, {now[:12]}" if now else fetch.reason(pushed),
        fix=f"git ls-remote --tags {clone.remote} '{name}*'",
    )


def push_branch(clone: Clone, branch: str, commit: str) -> None:
    """Push a user's branch with the user's hooks, set its upstream, and read it back. Raises PushRejected."""
    ref = f"refs/heads/{clone.upstream_of(branch)}"
    clone.require_ref(ref)
    # Git sets no upstream for a commit, only for a branch.
    pushed, now = _push(clone, f"refs/heads/{branch}:{ref}", ref, "--set-upstream")
    if now != commit:
        raise PushRejected(
            f"{clone.remote} did not take {commit[:12]} on {ref.removeprefix('refs/heads/')}",
            why=fetch.reason(pushed),
            fix=f"git pull --rebase --autostash && {clone.push_command(branch)}; or --branch <name> and a pull request",
        )


def replace_branch(clone: Clone, branch: str, commit: str, expected_old: str | None) -> None:
    """Make a branch of the remote's point at `commit`, if it still is where it was; with the user's hooks.

    Args:
        expected_old: where it points now; None where it does not exist.

    Raises PushRejected.
    """
    ref = f"refs/heads/{branch}"
    clone.require_ref(ref)
    pushed, now = _push(clone, f"{commit}:{ref}", ref, f"--force-with-lease={ref}:{expected_old or ''}")
    if now != commit:
        raise PushRejected(
            f"{clone.remote} did not take {commit[:12]} on {branch}",
            why=fetch.reason(pushed),
            fix="run it again; if the branch is protected, choose another one: --branch <name>",
        )
    clone.git.run("update-ref", f"{clone.mirror('heads')}/{branch}", commit)


def _push(clone: Clone, refspec: str, ref: str, *options: str, hooks: bool = True) -> tuple[GitResult, str | None]:
    """Push one ref; what git said, and the object that the remote has at `ref` then. Raises as `_read_back`."""
    pushed = clone.git.run(
        *("push", "--porcelain", *options, "--", str(clone.remote), refspec), timeout=_PUSH_SECONDS, hooks=hooks
    )
    return pushed, _read_back(clone, ref, pushed)


def _read_back(clone: Clone, ref: str, pushed: GitResult) -> str | None:
    """The object at the remote's `ref`, None when it has none. Raises PushRejected when the remote does not answer."""
    asked = clone.git.run("ls-remote", "--", str(clone.remote), ref, timeout=30.0)
    if asked.code != 0:
        raise PushRejected(
            f"{clone.remote} does not answer, so nothing is known to be pushed",
            why=fetch.reason(pushed if pushed.code != 0 else asked),
            fix=f"git ls-remote {clone.remote}",
        )
    listed = (line.partition("\t") for line in asked.lines)
    return next((identity for identity, _, name in listed if name == ref), None)


def _built_upon(clone: Clone, now: str, commit: str) -> bool:
    """Whether our push arrived and someone pushed on top of it before it was read back."""
    try:
        fetch.fetch(clone)
    except SourceUnavailable:
        return False
    return is_ancestor(clone, commit, now)
