"""The Git repository as everyone else sees it: what was last fetched, never what lies in somebody's work tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

import git

from gitops_ml.clients import background
from gitops_ml.clients.git import commits, fetch, history, push, signatures, tags
from gitops_ml.clients.git.clone import Clone
from gitops_ml.clients.git.commits import Author
from gitops_ml.clients.git.history import Commit
from gitops_ml.clients.git.push import PushOutcome
from gitops_ml.clients.git.signatures import Signers
from gitops_ml.core.versions.tags import Tag
from gitops_ml.errors import SourceUnavailable, VersionNotFound


class Repository(Clone):
    """One clone. Open it with `Repository.open`; it may be used as a context manager.

    Refs are read once between two fetches.
    """

    def __init__(self, repo: git.Repo) -> None:
        super().__init__(repo)
        self._tags: dict[str, list[Tag]] = {}
        self._commits: dict[str, str | None] = {}
        self._begun: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def cache(self) -> Path:
        """The directory of our own caches for this work tree; it need not be there."""
        return self.git_dir / "gitops-ml"

    # What is fetched

    def begin_fetch(self, timeout: float = fetch.FETCH_SECONDS) -> None:
        """Begin the next `fetch` in a thread of its own; until then nothing else is to be asked here.

        Raises nothing: the next `fetch` raises.
        """
        self._begun = background.begin(lambda: fetch.fetch(self, timeout))

    def fetch(self, timeout: float = fetch.FETCH_SECONDS) -> str:
        """Bring in the remote's branches and tags, all or nothing, and return the tracked branch's tip.

        Nothing is changed by a fetch that fails, is cut, or finds the tracked branch gone; a fetch without a remote
        does nothing. `timeout` is in seconds.

        Raises:
            SourceUnavailable: the remote does not answer, in time or at all, or does not have the branch.
        """
        begun, self._begun = self._begun, None
        if begun is None:
            fetch.fetch(self, timeout)
        else:
            begun.result()
        self.forget()
        return self.tip()

    def fetch_ahead(self) -> str:
        """Fetch now for the next `fetch`, which then gives the same tip or raises the same error."""
        if self._begun is None:
            self.begin_fetch()
        assert self._begun is not None
        self._begun.result()
        self.forget()
        return self.tip()

    def forget(self) -> None:
        """Forget what refs were read: after a fetch, a push, or a new tag."""
        self.trim()
        self._tags.clear()
        self._commits.clear()

    # Which commit

    def tip(self, branch: str | None = None) -> str:
        """The commit at the fetched tip of `branch` (the tracked one). Raises SourceUnavailable when it has none."""
        commit = self.find_tip(branch)
        if commit is None:
            name = branch or self.branch
            raise SourceUnavailable(
                f"the branch {name} has no commit" + (f" on {self.remote}" if self.remote else ""),
                fix=f"git push -u {self.remote} {name}" if self.remote else "git commit",
            )
        return commit

    def find_tip(self, branch: str | None = None) -> str | None:
        """As `tip`, but None where the branch does not exist.

        The user's remote-tracking branches are read only until the tracked branch is fetched: they keep branches that
        the remote has deleted.
        """
        name, fetched = branch or self.branch, self.mirror("heads")
        commit = self._commit(f"{fetched}/{name}")
        if commit is not None or self.remote is None or self._commit(f"{fetched}/{self.branch}") is not None:
            return commit
        return self._commit(f"refs/remotes/{self.remote}/{name}")

    def resolve(self, rev: str) -> str:
        """The commit that `rev` names: any revision that Git knows. Raises VersionNotFound."""
        commit = self._commit(rev)
        if commit is None:
            raise VersionNotFound(f"there is no revision {rev} in {self.root}", fix="git fetch, or git log --all")
        return commit

    def find_commit(self, rev: str) -> str | None:
        """As `resolve`, but None where there is no such revision."""
        return self._commit(rev)

    def find_shared(self, rev: str) -> str | None:
        """The commit that `rev` names for everyone: a commit id, or a fetched tag or branch; None for anything else.

        `HEAD` or a local branch is something else in each clone, and is not found, except as the branch of a
        repository without a remote.
        """
        for place in (f"{self.mirror('tags')}/{rev}", f"{self.mirror('heads')}/{rev}"):
            if (commit := self._commit(place)) is not None:
                return commit
        named = rev.removeprefix(f"{self.remote}/") if self.remote else rev
        if named != rev and (commit := self._commit(f"{self.mirror('heads')}/{named}")) is not None:
            return commit
        is_id = 7 <= len(rev) <= 64 and all(c in "0123456789abcdefABCDEF" for c in rev)
        return self._commit(rev) if is_id else None

    def _commit(self, rev: str) -> str | None:
        if rev not in self._commits:
            found = self.read_object(f"{rev}^{{commit}}") if not rev.startswith("-") else None
            self._commits[rev] = found.id if found else None
        return self._commits[rev]

    # What it says

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether the commit `newer` descends from `older` or is it. A commit missing here has no relatives."""
        return history.is_ancestor(self, older, newer)

    def tags(self, pattern: str = "", local: bool = False) -> list[Tag]:
        """The fetched tags whose names match `pattern` (a glob, "" for all); the same list until refs are read anew.

        Args:
            local: read this clone's own tags instead, as `register` and `gto show` see them.
        """
        fetched = not local and self._commit(f"{self.mirror('heads')}/{self.branch}") is not None
        root = self.mirror("tags") if fetched else "refs/tags"
        where = f"{root}/{pattern}".rstrip("/")
        if where not in self._tags:
            self._tags[where] = tags.list_tags(self, root, where)
        return self._tags[where]

    def log(self, path: str = "", n: int = 20, rev: str | None = None, since: str | None = None) -> list[Commit]:
        """The last `n` commits that touched `path` (any, if empty), newest first, from the fetched tip or `rev`.

        Args:
            since: leave out this commit and those before it.
        """
        return history.log(self, path, n, self.resolve(rev) if rev else self.tip(), since)

    def find_commits(self, identities: Iterable[str]) -> dict[str, Commit]:
        """These commits by their full ids; what this clone does not have is left out."""
        return history.find_commits(self, identities)

    def list_objects(self, rev: str, path: str) -> list[str]:
        """The objects below `path` in all commits up to `rev`, as `<id> <path>`; of each path the newest first."""
        return history.list_objects(self, rev, path)

    def merge_base(self, since: str, commit: str) -> str:
        """The commit where `commit` left `since`.

        Raises VersionNotFound for unknown revisions, SourceError for those without a common ancestor.
        """
        return history.merge_base(self, self.resolve(since), self.resolve(commit))

    def changed_files(self, since: str, commit: str) -> list[str]:
        """The paths that `commit` changed since it left `since`, sorted.

        Raises VersionNotFound for unknown revisions, SourceError for those without a common ancestor.
        """
        return history.changed_files(self, self.resolve(since), self.resolve(commit))

    def commits_that_touch(self, since: str, tip: str, paths: Iterable[str]) -> list[tuple[str, list[str]]]:
        """The commits of `tip` that `since` has not, and that changed a path, each with its parents; the oldest first.

        A merge counts if it differs there from any of its parents.
        """
        return history.commits_that_touch(self, since, tip, paths)

    def verify_commit_signature(self, commit: str, signers: Signers) -> str:
        """Who signed `commit`. Raises SourceError if none of `signers` did."""
        return signatures.verify_commit_signature(self, commit, signers)

    # What is written

    def commit_files(
        self, parent: str, changes: Mapping[str, bytes | None], message: str, author: Author | None = None
    ) -> str:
        """A commit on `parent` with `changes` (None removes a file), touching neither index, work tree nor any ref.

        Returns `parent` itself when nothing changes. Raises SourceError when it cannot be made, as when signing fails.
        """
        return commits.commit_files(self, parent, changes, message, author)

    def create_tag(self, name: str, commit: str, message: str) -> None:
        """Make an annotated tag. Raises InputError when it exists or Git does not accept its name."""
        tags.create_tag(self, name, commit, message)
        self.forget()

    def push_tag(self, name: str) -> None:
        """Push a tag, and read it back. Raises PushRejected."""
        push.push_tag(self, name)
        self.forget()

    def push_branch(self, branch: str, commit: str) -> None:
        """Push a user's branch with the user's hooks, set its upstream, and read it back. Raises PushRejected."""
        push.push_branch(self, branch, commit)
        self.forget()

    def replace_branch(self, branch: str, commit: str, expected_old: str | None) -> None:
        """Make a branch of the remote's point at `commit`, if it still is at `expected_old` (None: it does not exist).

        Raises PushRejected.
        """
        push.replace_branch(self, branch, commit, expected_old)
        self.forget()

    def advance(self, commit: str, expected_old: str | None, branch: str | None = None) -> PushOutcome:
        """Move `branch` (the tracked one) from `expected_old` (None: it does not exist) to its descendant `commit`.

        Compare-and-swap, never forced. It says `pushed` only after the ref was read back; `raced` when the branch is no
        longer at `expected_old`: fetch, build the commit anew on the new tip, try again.

        Raises:
            PushRejected: the remote, or uncommitted edits in the checked-out branch, stand against it.
        """
        outcome = push.advance(self, commit, expected_old, branch or self.branch)
        self.forget()
        return outcome
