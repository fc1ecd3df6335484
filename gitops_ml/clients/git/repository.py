"""The Git repository as everyone else sees it: what was last fetched, never what lies in somebody's work
tree.

`fetch` mirrors the remote's branches and tags under `refs/gitops-ml/<remote>/`, all or nothing. So a tag that
moved or went on the remote moves or goes here as well, a user's own tags and remote-tracking branches are
left alone, and no local branch can be taken for a fetched one. A repository without a remote is its own
truth: its branches and tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from gitops_ml.clients import background
from gitops_ml.clients.git import commits
from gitops_ml.clients.git import remote as git_remote
from gitops_ml.clients.git.commits import AUTHOR, Author, Commit
from gitops_ml.clients.git.objects import Entry, File, Objects
from gitops_ml.clients.git.process import Git
from gitops_ml.clients.git.remote import Published
from gitops_ml.core.versions.tags import Tag
from gitops_ml.errors import InputError, SourceError, SourceUnavailable, VersionNotFound

__all__ = ["Author", "Commit", "Entry", "File", "Published", "Repository"]

FETCH_SECONDS = 120.0


class Repository(Objects):
    """One clone. Open it with `Repository.open`; it may be used as a context manager."""

    def __init__(self, root: Path, git_dir: Path, common_dir: Path, head: str | None, bare: bool) -> None:
        self.root = root
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.bare = bare
        super().__init__(Git(root))
        self.git.config = lambda: self.config
        self._head = head
        self._tags: dict[str, list[Tag]] = {}
        self._commits: dict[str, str | None] = {}
        self._begun: Future[None] | None = None

    @classmethod
    def open(cls, path: Path | str = ".") -> Self:
        """The repository that holds `path`.

        Raises SourceError when none does, or Git does not trust its owner.
        """
        folder = Path(path).absolute()
        git = Git(folder)
        done = git.run(
            *("rev-parse", "--path-format=absolute", "--is-bare-repository", "--git-dir", "--git-common-dir"),
            "--show-toplevel",
        )
        # Asked last, since it fails where there is no work tree; the answers before it are complete.
        lines = done.out.decode("utf-8", "surrogateescape").splitlines()
        if len(lines) < 3:
            owner = "dubious ownership" in done.messages
            raise SourceError(
                f"{folder} is no Git repository" if not owner else f"Git does not trust the owner of {folder}",
                why=done.messages.splitlines()[0] if done.messages else "",
                fix=f"git config --global --add safe.directory {folder}" if owner else "git init, or go to a clone",
            )
        bare = lines[0] == "true"
        if len(lines) < 4 and not bare:
            raise SourceError(f"{folder} lies inside a .git folder", fix="go to the work tree")
        git_dir = Path(lines[1])
        return cls(git_dir if bare else Path(lines[3]), git_dir, Path(lines[2]), _head_of(git, git_dir), bare)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process that reads objects."""
        self.git.close()

    @property
    def cache(self) -> Path:
        """The directory of our own caches for this work tree; it need not be there."""
        return self.git_dir / "gitops-ml"

    # What is followed

    @cached_property
    def config(self) -> dict[str, str]:
        """Git's configuration for this clone, the last value of each key; sections and names are in lower
        case.
        """
        done = self.git.must("config", "--list", "-z")
        pairs = (line.partition("\n") for line in done.out.decode("utf-8", "surrogateescape").split("\0") if line)
        return {key: value for key, _, value in pairs}

    @cached_property
    def remote(self) -> str | None:
        """The remote of the current branch's upstream, else `origin`, else the only one; None when there is
        none.
        """
        remotes = sorted({k[7:-4] for k in self.config if k.startswith("remote.") and k.endswith(".url")})
        own = self.config.get(f"branch.{self._head}.remote") if self._head else None
        if own in remotes:
            return own
        if "origin" in remotes:
            return "origin"
        if len(remotes) > 1:
            raise InputError(
                f"{self.root} has several remotes and none is followed",
                why=f"remotes: {', '.join(remotes)}; none is named origin",
                fix=f"git branch --set-upstream-to={remotes[0]}/<branch>",
            )
        return remotes[0] if remotes else None

    @cached_property
    def branch(self) -> str:
        """The tracked branch: the current one's upstream, else the remote's HEAD; the current one without a
        remote.
        """
        if self.remote is None:
            if self._head is None:
                raise SourceError(
                    f"no branch is checked out in {self.root}", fix="git switch <branch>, or add a remote"
                )
            return self._head
        merge = self.config.get(f"branch.{self._head}.merge", "") if self._head else ""
        if merge.startswith("refs/heads/") and self.config.get(f"branch.{self._head}.remote") == self.remote:
            return merge.removeprefix("refs/heads/")
        known = self.git.run("symbolic-ref", "--quiet", f"refs/remotes/{self.remote}/HEAD")
        if known.code == 0:
            return known.text.removeprefix(f"refs/remotes/{self.remote}/")
        asked = self.git.run("ls-remote", "--symref", self.remote, "HEAD", timeout=30.0)
        for line in asked.text.splitlines():
            if asked.code == 0 and line.startswith("ref: refs/heads/"):
                return line.split()[1].removeprefix("refs/heads/")
        raise SourceUnavailable(
            f"the remote {self.remote} does not say which branch is its main one",
            why=asked.messages[-300:],
            fix=f"where nothing was pushed yet: git push -u {self.remote} {self.checked_out or '<branch>'}; "
            f"else: git remote set-head {self.remote} <branch>",
        )

    @property
    def checked_out(self) -> str | None:
        """The branch that is checked out in this work tree, None when HEAD is detached."""
        return self._head

    def _mirror(self, kind: Literal["heads", "tags"]) -> str:
        return f"refs/gitops-ml/{self.remote}/{kind}" if self.remote else f"refs/{kind}"

    def begin_fetch(self, timeout: float = FETCH_SECONDS) -> None:
        """Begin what the next `fetch` waits for, in a thread of its own; until then nothing else is to be asked here.

        Raises nothing: what goes wrong, the next `fetch` raises.
        """
        self._begun = background.begin(lambda: self._fetch(timeout))

    def _fetch(self, timeout: float) -> None:
        if self.remote is not None:
            git_remote.fetch(self, timeout)

    def fetch(self, timeout: float = FETCH_SECONDS) -> str:
        """Bring in the remote's branches and tags, all or nothing, and return the tracked branch's tip.

        Nothing is changed by a fetch that fails, is cut, or finds the tracked branch gone; a fetch without a
        remote does nothing. `timeout` is in seconds.

        Raises:
            SourceUnavailable: the remote does not answer, in time or at all, or does not have the branch.
        """
        begun, self._begun = self._begun, None
        if begun is None:
            self._fetch(timeout)
        else:
            begun.result()
        self.forget()
        return self.tip()

    def forget(self) -> None:
        """Forget what refs were read: after a fetch, a push, or a new tag."""
        self.trim()
        self._tags.clear()
        self._commits.clear()

    def tip(self, branch: str | None = None) -> str:
        """The commit at the fetched tip of `branch` (the tracked one).

        Raises SourceUnavailable when it has none.
        """
        commit = self.find_tip(branch)
        if commit is None:
            name = branch or self.branch
            raise SourceUnavailable(
                f"the branch {name} has no commit" + (f" on {self.remote}" if self.remote else ""),
                fix=f"git push -u {self.remote} {name}" if self.remote else "git commit",
            )
        return commit

    def find_tip(self, branch: str | None = None) -> str | None:
        """As `tip`, but None where the branch does not exist."""
        name = branch or self.branch
        places = [f"{self._mirror('heads')}/{name}"]
        if self.remote is not None:
            places.append(f"refs/remotes/{self.remote}/{name}")
        return next((c for c in map(self._commit, places) if c is not None), None)

    def resolve(self, rev: str) -> str:
        """The commit that `rev` names: any revision that Git knows. Raises VersionNotFound."""
        commit = self._commit(rev)
        if commit is None:
            raise VersionNotFound(f"there is no revision {rev} in {self.root}", fix="git fetch, or git log --all")
        return commit

    def find_shared(self, rev: str) -> str | None:
        """The commit that `rev` names for everyone: a commit id, or a fetched tag or branch; None for
        anything else.

        `HEAD` or a local branch is something else in each clone, and is not found, except as the branch of a
        repository without a remote.
        """
        for place in (f"{self._mirror('tags')}/{rev}", f"{self._mirror('heads')}/{rev}"):
            if (commit := self._commit(place)) is not None:
                return commit
        named = rev.removeprefix(f"{self.remote}/") if self.remote else rev
        if named != rev and (commit := self._commit(f"{self._mirror('heads')}/{named}")) is not None:
            return commit
        is_id = 7 <= len(rev) <= 64 and all(c in "0123456789abcdefABCDEF" for c in rev)
        return self._commit(rev) if is_id else None

    def _commit(self, rev: str) -> str | None:
        if rev not in self._commits:
            found = self.git.read_one(f"{rev}^{{commit}}") if not rev.startswith("-") else None
            self._commits[rev] = found.id if found else None
        return self._commits[rev]

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether `newer` descends from `older` or is it.

        A commit that this clone does not have is nobody's.
        """
        if older == newer:
            return True
        return self.git.run("merge-base", "--is-ancestor", older, newer).code == 0

    # What it says

    def tags(self, pattern: str = "", local: bool = False) -> list[Tag]:
        """The fetched tags whose names match `pattern` (a glob, "" for all), by `for-each-ref`.

        Args:
            local: read this clone's own tags instead, as `register` and `gto show` see them.
        """
        fetched = not local and self._commit(f"{self._mirror('heads')}/{self.branch}") is not None
        root = self._mirror("tags") if fetched else "refs/tags"
        where = f"{root}/{pattern}".rstrip("/")
        if where not in self._tags:
            self._tags[where] = commits.list_tags(self.git, root, where)
        return self._tags[where]

    def log(self, path: str = "", n: int = 20, rev: str | None = None) -> list[Commit]:
        """The last `n` commits that touched `path` (any, if empty), newest first, from the fetched tip or `rev`."""
        return commits.log(self.git, path, n, rev or self.tip())

    def changed_files(self, since: str, commit: str) -> list[str]:
        """The paths that `commit` changed since it left `since`, sorted. Raises VersionNotFound for unknown ones."""
        begin, end = self.resolve(since), self.resolve(commit)
        done = self.git.run("diff", "--name-only", "--no-renames", "-z", f"{begin}...{end}")
        if done.code != 0:
            raise SourceError(
                f"{since} and {commit[:12]} have no history in common",
                why=done.messages[-200:],
                fix="fetch the whole history: actions/checkout with fetch-depth: 0",
            )
        return sorted(p for p in done.out.decode("utf-8", "surrogateescape").split("\0") if p)

    # What is written

    def create_tag(self, name: str, commit: str, message: str) -> None:
        """Make an annotated tag. Raises InputError when it exists or its name is none for Git."""
        commits.create_tag(self, name, commit, message)
        self.forget()

    def push_tag(self, name: str) -> None:
        """Push a tag, and read it back. Raises PushRejected, SourceUnavailable."""
        git_remote.push_tag(self, name)
        self.forget()

    def push_branch(self, branch: str, commit: str) -> None:
        """Push a branch of the user's with their hooks, set its upstream, and read it back. Raises PushRejected."""
        git_remote.push_branch(self, branch, commit)
        self.forget()

    def commit_files(
        self, parent: str, changes: Mapping[str, bytes | None], message: str, author: Author = AUTHOR
    ) -> str:
        """A commit on `parent` with `changes` (None removes a file), touching neither index, work tree nor
        any ref.

        Returns `parent` itself when nothing changes. Raises SourceError when it cannot be made, as when
        signing fails.
        """
        return commits.commit_files(self, parent, changes, message, author)

    def publish(self, commit: str, expected_old: str | None, branch: str | None = None) -> Published:
        """Move `branch` (the tracked one) from `expected_old` (None: it does not exist) to its descendant
        `commit`.

        Compare-and-swap, never forced. It says `pushed` only after the ref was read back; `raced` when the
        branch is no longer at `expected_old`: fetch, build the commit anew on the new tip, try again.

        Raises:
            PushRejected: the remote, or uncommitted edits in the checked-out branch, stand against it.
        """
        published = git_remote.publish(self, commit, expected_old, branch or self.branch)
        self.forget()
        return published

    def verify_commit_signature(self, commit: str, allowed_signers: bytes) -> str:
        """Who signed `commit`, by the SSH keys of `allowed_signers`.

        Raises SourceError when none of them did.
        """
        return commits.verify_commit_signature(self, commit, allowed_signers)


def _head_of(git: Git, git_dir: Path) -> str | None:
    try:
        text = (git_dir / "HEAD").read_text("utf-8", "surrogateescape").strip()
    except OSError:
        return None
    if text == "ref: refs/heads/.invalid":  # the refs are in a reftable, which only git reads
        text = f"ref: {git.run('symbolic-ref', '--quiet', 'HEAD').text}"
    return text.removeprefix("ref: refs/heads/") if text.startswith("ref: refs/heads/") else None
