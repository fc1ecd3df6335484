"""Which of our git commands are at work in a clone, so that the locks of those that were killed are known and removed.

Asked to end, git removes its lock files. Killed together with us, as by a lack of memory or of power, git cannot, and
`index.lock` or `shallow.lock` then stops every later command, the user's too. So each command that may lock holds a
claim: a file under `flock(2)` that git inherits open. A claim without its lock belongs to a command that died.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

LOCKING = frozenset(
    ("fetch", "push", "commit", "add", "switch", "tag", "read-tree", "update-index", "update-ref", "worktree")
)
"""The commands that take lock files."""
_LOCKS = (
    *("index.lock", "HEAD.lock", "next-index-*.lock", "worktrees/*/index.lock", "worktrees/*/HEAD.lock"),
    *("worktrees/*/next-index-*.lock", "shallow.lock", "config.lock", "packed-refs.lock", "refs/**/*.lock"),
)
_SLACK = 10.0
"""How long after its time-out git may still have made a lock: it is asked to end, and then killed. In seconds."""


class Claims:
    """The claims of one repository, in a folder of its own below `.git`."""

    def __init__(self, common_dir: Path) -> None:
        self._common_dir = common_dir
        self._folder = common_dir / "gitops-ml" / "running"

    @contextlib.contextmanager
    def hold(self, seconds: float) -> Iterator[int | None]:
        """Hold a claim for a command that ends within `seconds`. The command has to inherit the descriptor.

        None where the folder cannot be written; git will say so itself.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._folder)
        except OSError:
            yield None
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, str(seconds).encode())
            yield descriptor
        finally:
            Path(name).unlink(missing_ok=True)
            os.close(descriptor)

    def remove_stale_locks(self) -> None:
        """Remove the lock files of our commands that were killed, unless another git is at work in the repository."""
        with contextlib.suppress(OSError):
            for claim in list(self._folder.iterdir()):
                self._settle(claim)

    def _settle(self, claim: Path) -> None:
        with claim.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # its command is at work
            begun = os.fstat(file.fileno()).st_mtime
            last = begun + float(file.read() or 0) + _SLACK
            locks = [p for pattern in _LOCKS for p in self._common_dir.glob(pattern)]
            left = [lock for lock in locks if begun - 1 <= lock.stat().st_mtime <= last]
            if left and _git_at_work(self._common_dir):
                return
            for lock in left:
                lock.unlink(missing_ok=True)
            claim.unlink(missing_ok=True)


def _git_at_work(common_dir: Path) -> bool:
    """Whether a git runs in the repository, whoever started it. True where that cannot be known."""
    folders = [common_dir.parent if common_dir.name == ".git" else common_dir]
    for link in common_dir.glob("worktrees/*/gitdir"):
        folders.append(Path(link.read_text().strip()).parent)
    processes = [p for p in Path("/proc").glob("[0-9]*") if p.name != str(os.getpid())]
    if not processes:
        return True
    for process in processes:
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().startswith("git"):
                folder = (process / "cwd").readlink()
                if any(folder.is_relative_to(place) for place in folders):
                    return True
    return False
