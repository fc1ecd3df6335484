"""A branch of a repository without a remote is moved as a fast-forward would: its work tree, if any, goes
along.

Where the user has uncommitted edits on the paths that would move, nothing moves at all.
"""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitops_ml.clients.git.process import environment
from gitops_ml.errors import PushRejected, SourceError

if TYPE_CHECKING:
    from gitops_ml.clients.git.repository import Repository


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
    _finish(repository)
    if old is None:
        return _at(repository, ref)
    with _Transaction(repository) as transaction:
        # The ref is locked, and seen to be at `old`, before a single file moves: so nothing has to be undone.
        if not transaction.prepare(f"update {ref} {new} {old}"):
            return _at(repository, ref)
        _refuse_edits(repository, place.folder, old, new)
        _note(repository).write_text(f"{place.folder}\0{ref}\0{old}\0{new}")
        moved = repository.git.run("read-tree", "-m", "-u", old, new, folder=place.folder)
        if moved.code != 0:
            _note(repository).unlink()
            raise PushRejected(
                f"the files of {branch} in {place.folder} could not follow",
                why=moved.messages[-300:],
                fix=f"commit or stash your changes: git -C {place.folder} status",
            )
        transaction.commit()
    _note(repository).unlink()
    return _at(repository, ref)


def _note(repository: Repository) -> Path:
    """Where a move is noted while it lasts: between its files and its ref a process can die."""
    folder = repository.common_dir / "gitops-ml"
    folder.mkdir(exist_ok=True)
    return folder / "moving"


def _finish(repository: Repository) -> None:
    """Put back the files of a move whose process died before the ref followed; what the user did since stays."""
    try:
        where, ref, old, new = _note(repository).read_text().split("\0")
    except (OSError, ValueError):
        return
    folder = Path(where)
    if folder.is_dir() and _at(repository, ref) == old and _edits(repository, folder, old, new):
        paths = _changed(repository, old, new)
        same = ("--literal-pathspecs", "diff", "--quiet", "--no-ext-diff")
        as_moved = repository.git.run(*same, "--cached", new, "--", *paths, folder=folder).code == 0
        if as_moved and repository.git.run(*same, "--", *paths, folder=folder).code == 0:
            repository.git.run("read-tree", "-m", "-u", new, old, folder=folder)
    _note(repository).unlink()


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


def _changed(repository: Repository, old: str, new: str) -> list[str]:
    changed = repository.git.must("diff-tree", "-r", "-z", "--name-only", "--no-renames", old, new).out
    return [p.decode("utf-8", "surrogateescape") for p in changed.split(b"\0") if p]


def _edits(repository: Repository, folder: Path, old: str, new: str) -> list[str]:
    """What is not committed in `folder`, of the files that differ between `old` and `new`."""
    status = repository.git.run(
        *("--literal-pathspecs", "status", "--porcelain", "-z", "--untracked-files=all", "--ignored=matching"),
        *("--no-renames", "--", *_changed(repository, old, new)),
        folder=folder,
    )
    if status.code != 0:
        raise PushRejected(f"git cannot tell what is edited in {folder}", why=status.messages[-200:])
    return [line[3:].decode("utf-8", "replace") for line in status.out.split(b"\0") if line]


def _refuse_edits(repository: Repository, folder: Path, old: str, new: str) -> None:
    edits = _edits(repository, folder, old, new)
    if edits:
        raise PushRejected(
            f"uncommitted edits in {folder} are in the way: {', '.join(edits[:3])}",
            why="they are on the files that the record would change",
            fix=f"git -C {folder} commit {' '.join(edits[:3])}",
        )


def _refuse_rebase(repository: Repository, branch: str) -> None:
    """A branch under rebase is checked out nowhere, and yet moving it breaks the rebase's end."""
    for place in ("rebase-merge", "rebase-apply"):
        with contextlib.suppress(OSError):
            if (repository.git_dir / place / "head-name").read_text().strip() == f"refs/heads/{branch}":
                raise PushRejected(f"{branch} is being rebased", fix="git rebase --continue, or --abort")


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
            raise SourceError("the branch could not be moved", fix="git fsck")

    def _say(self, line: str, silent: bool = False) -> bool:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return silent or self._process.stdout.readline() == f"{line}: ok\n".encode()
