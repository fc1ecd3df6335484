"""A branch of a repository without a remote is moved as a fast-forward would: its work tree, if any, goes
along.

Where the user has uncommitted edits on the paths that would move, nothing moves at all.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitops_ml.clients.git_process import environment
from gitops_ml.errors import PushRejected, SourceError

if TYPE_CHECKING:
    from gitops_ml.clients.git import Repository


class Worktree(NamedTuple):
    """One checked-out folder and the branch in it (None: detached)."""

    folder: Path
    branch: str | None


def move_branch(repository: Repository, branch: str, new: str, old: str | None) -> str | None:
    """Move `branch` from `old` (None: it does not exist) to `new`, and return where it is afterwards.

    Raises:
        PushRejected: uncommitted edits, or a rebase of the branch, are in the way; nothing was moved.
    """
    ref = f"refs/heads/{branch}"
    place = next((w for w in worktrees(repository) if w.branch == branch), None)
    if place is None:
        _refuse_rebase(repository, branch)
        done = repository.git.run("update-ref", "-m", "gitops-ml", ref, new, old or "0" * len(new))
        return new if done.code == 0 else _at(repository, ref)
    if old is None:
        return _at(repository, ref)
    with _Transaction(repository) as transaction:
        # The ref is locked, and seen to be at `old`, before a single file moves: so nothing has to be undone.
        if not transaction.prepare(f"update {ref} {new} {old}"):
            return _at(repository, ref)
        _refuse_edits(repository, place.folder, old, new)
        moved = repository.git.run("read-tree", "-m", "-u", old, new, folder=place.folder)
        if moved.code != 0:
            raise PushRejected(
                f"the files of {branch} in {place.folder} could not follow",
                why=moved.messages[-300:],
                mend=f"commit or stash your changes: git -C {place.folder} status",
            )
        transaction.commit()
    return _at(repository, ref)


def worktrees(repository: Repository) -> list[Worktree]:
    """Every checked-out folder of the repository."""
    found: list[Worktree] = []
    listed = repository.git.must("worktree", "list", "--porcelain").out.decode("utf-8", "surrogateescape")
    for block in listed.split("\n\n"):
        lines = dict(line.partition(" ")[::2] for line in block.splitlines())
        if "worktree" in lines and "bare" not in lines:
            branch = lines.get("branch", "").removeprefix("refs/heads/") or None
            found.append(Worktree(Path(lines["worktree"]), branch))
    return found


def _refuse_edits(repository: Repository, folder: Path, old: str, new: str) -> None:
    changed = repository.git.must("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).out
    paths = [p for p in changed.split(b"\0") if p]
    status = repository.git.run(
        *(
            "--literal-pathspecs",
            "status",
            "--porcelain",
            "-z",
            "--untracked-files=all",
            "--ignored=matching",
        ),
        *("--no-renames", "--", *(p.decode("utf-8", "surrogateescape") for p in paths)),
        folder=folder,
    )
    edits = [line[3:].decode("utf-8", "replace") for line in status.out.split(b"\0") if line]
    if status.code != 0 or edits:
        raise PushRejected(
            f"uncommitted edits in {folder} are in the way: {', '.join(edits[:3]) or status.messages[-200:]}",
            why="they are on the files that the record would change",
            mend=f"git -C {folder} commit {' '.join(edits[:3])}".rstrip(),
        )


def _refuse_rebase(repository: Repository, branch: str) -> None:
    """A branch under rebase is checked out nowhere, and yet moving it breaks the rebase's end."""
    for place in ("rebase-merge", "rebase-apply"):
        with contextlib.suppress(OSError):
            if (repository.git_dir / place / "head-name").read_text().strip() == f"refs/heads/{branch}":
                raise PushRejected(f"{branch} is being rebased", mend="git rebase --continue, or --abort")


def _at(repository: Repository, ref: str) -> str | None:
    return repository.git.run("rev-parse", "--verify", "--quiet", ref).text or None


class _Transaction:
    """`git update-ref --stdin`: its locks fall away by themselves when it, or we, die."""

    def __init__(self, repository: Repository) -> None:
        self._process = subprocess.Popen(
            ["git", "-c", "core.hooksPath=/dev/null", "update-ref", "-m", "gitops-ml: record", "--stdin"],
            cwd=repository.root,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )

    def __enter__(self) -> _Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        # The end of input without `commit` aborts.
        self._process.communicate(timeout=10)

    def prepare(self, instruction: str) -> bool:
        return self._say("start") and self._say(instruction, silent=True) and self._say("prepare")

    def commit(self) -> None:
        if not self._say("commit"):
            raise SourceError("the branch could not be moved", mend="git fsck")

    def _say(self, line: str, silent: bool = False) -> bool:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return silent or self._process.stdout.readline() == f"{line}: ok\n".encode()
