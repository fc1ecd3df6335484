"""Moving a branch of a repository without a remote, as a fast-forward would: its work tree, if any, goes along.

Where the user has uncommitted edits on the paths that would move, nothing moves at all.
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.git.clone import Clone
from gitops_ml.clients.git.history import differing_files
from gitops_ml.errors import PushRejected, SourceError


class Worktree(NamedTuple):
    """One checked-out folder and the branch in it (None: detached)."""

    folder: Path
    branch: str | None


def move_branch(clone: Clone, branch: str, new: str, old: str | None) -> str | None:
    """Move `branch` from `old` (None: it does not exist) to `new`, and return where it is afterwards.

    Raises:
        PushRejected: uncommitted edits, or a rebase of the branch, are in the way; nothing was moved.
    """
    ref = f"refs/heads/{branch}"
    place = next((w for w in worktrees(clone) if w.branch == branch), None)
    if place is None:
        _refuse_rebase(clone, branch)
        moved = clone.git.run("update-ref", "-m", "gitops-ml", ref, new, old or "0" * len(new))
        return new if moved.code == 0 else clone.ref(ref)
    _undo_interrupted_move(clone)
    if old is None:
        return clone.ref(ref)
    with Transaction(clone) as transaction:
        # The ref is locked, and seen to be at `old`, before a single file moves: so nothing has to be undone.
        if not transaction.prepare(ref, new, old):
            return clone.ref(ref)
        _refuse_edits(clone, place.folder, old, new)
        _note(clone).write_text(f"{place.folder}\0{ref}\0{old}\0{new}")
        followed = clone.git.run("read-tree", "-m", "-u", old, new, folder=place.folder)
        if followed.code != 0:
            _note(clone).unlink()
            raise PushRejected(
                f"the files of {branch} in {place.folder} could not follow",
                why=followed.messages[-300:],
                fix=f"commit or stash your changes: git -C {place.folder} status",
            )
        transaction.commit()
    _note(clone).unlink()
    return clone.ref(ref)


def tree_of_folder(clone: Clone, folder: str) -> str:
    """Return the id of a Git tree that holds a folder of the work tree as Git would commit it.

    The user's index is not touched: files that are not staged count, ignored ones do not. Raises `SourceError` when the
    folder does not exist.
    """
    if not (clone.root / folder).is_dir():
        raise SourceError(f"{clone.root / folder} does not exist", fix="gitops-ml init")
    with tempfile.TemporaryDirectory() as place:
        own_index = {"GIT_INDEX_FILE": str(Path(place) / "index")}
        clone.git.must("add", "--all", "--", folder, env=own_index)
        return clone.git.must("write-tree", env=own_index).text


def worktrees(clone: Clone) -> list[Worktree]:
    """Every checked-out folder of the repository."""
    places: list[Worktree] = []
    for block in clone.git.must("worktree", "list", "--porcelain").text.split("\n\n"):
        lines = dict(line.partition(" ")[::2] for line in block.split("\n"))
        if "worktree" in lines and "bare" not in lines:
            branch = lines.get("branch", "").removeprefix("refs/heads/") or None
            places.append(Worktree(Path(lines["worktree"]), branch))
    return places


def _note(clone: Clone) -> Path:
    """Where a move is noted while it lasts: a process can die between its files and its ref."""
    folder = clone.common_dir / "gitops-ml"
    folder.mkdir(exist_ok=True)
    return folder / "moving"


def _undo_interrupted_move(clone: Clone) -> None:
    """Put back the files of a move whose process died before the ref followed; what the user did since stays."""
    try:
        where, ref, old, new = _note(clone).read_text().split("\0")
    except (OSError, ValueError):
        return
    folder = Path(where)
    if folder.is_dir() and clone.ref(ref) == old and _edits(clone, folder, old, new):
        paths = differing_files(clone, old, new)
        same = ("diff", "--quiet", "--no-ext-diff")
        as_moved = clone.git.run(*same, "--cached", new, "--", *paths, folder=folder).code == 0
        if as_moved and clone.git.run(*same, "--", *paths, folder=folder).code == 0:
            clone.git.run("read-tree", "-m", "-u", new, old, folder=folder)
    _note(clone).unlink()


def _edits(clone: Clone, folder: Path, old: str, new: str) -> list[str]:
    """What is not committed in `folder`, of the files that differ between `old` and `new`."""
    status = clone.git.run(
        *("status", "--porcelain", "-z", "--untracked-files=all", "--ignored=matching", "--no-renames"),
        *("--", *differing_files(clone, old, new)),
        folder=folder,
    )
    if status.code != 0:
        raise PushRejected(f"git cannot tell what is edited in {folder}", why=status.messages[-200:])
    return [record[3:] for record in status.records]


def _refuse_edits(clone: Clone, folder: Path, old: str, new: str) -> None:
    edits = [
        path.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for path in _edits(clone, folder, old, new)
    ]
    if edits:
        raise PushRejected(
            f"uncommitted edits in {folder} are in the way: {', '.join(edits[:3])}",
            why="they are on the files that the record would change",
            fix=f"git -C {folder} commit {' '.join(edits[:3])}",
        )


def _refuse_rebase(clone: Clone, branch: str) -> None:
    """A branch under rebase is checked out nowhere, and yet moving it breaks the rebase's end."""
    for place in ("rebase-merge", "rebase-apply"):
        with contextlib.suppress(OSError):
            if (clone.git_dir / place / "head-name").read_text().strip() == f"refs/heads/{branch}":
                raise PushRejected(f"{branch} is being rebased", fix="git rebase --continue, or --abort")


class Transaction:
    """`git update-ref --stdin`: its locks fall away by themselves when it, or we, die."""

    def __init__(self, clone: Clone) -> None:
        self._closing = contextlib.ExitStack()
        claim = self._closing.enter_context(clone.git.claim("update-ref"))
        self._process = clone.git.start("update-ref", "-m", "gitops-ml: record", "-z", "--stdin", claim=claim)

    def __enter__(self) -> Transaction:
        return self

    def __exit__(self, *_: object) -> None:
        with self._closing:
            # The end of input without `commit` aborts.
            self._process.communicate(timeout=10)

    def prepare(self, ref: str, new: str, old: str) -> bool:
        """Lock `ref`; False when another process holds it, or it is not at `old`."""
        return self._say("start") and self._send(f"update {ref}\0{new}\0{old}") and self._say("prepare")

    def commit(self) -> None:
        """Move the ref. Raises SourceError."""
        if not self._say("commit"):
            raise SourceError("the branch could not be moved", fix="git fsck")

    def _say(self, command: str) -> bool:
        return self._send(command) and self._process.stdout.readline() == f"{command}: ok\n".encode()

    def _send(self, command: str) -> bool:
        try:
            self._process.stdin.write(f"{command}\0".encode("utf-8", "surrogateescape"))
            self._process.stdin.flush()
        except BrokenPipeError:
            return False
        return True
