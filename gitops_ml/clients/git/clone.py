"""One clone: where it lies, how it is configured, and which remote and branch it follows.

The remote's branches and tags are mirrored under `refs/gitops-ml/<remote>/`. A user's own tags and remote-tracking
branches are left alone, and no local branch can be taken for a fetched one. A repository without a remote is its own
truth: its branches and tags.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import git

from gitops_ml.clients.git.claims import Claims
from gitops_ml.clients.git.objects import Objects
from gitops_ml.clients.git.process import Git, leave_callers_repository
from gitops_ml.errors import InputError, SourceError, SourceUnavailable


class Clone(Objects):
    """One clone and its objects. Open it with `open`."""

    def __init__(self, repo: git.Repo) -> None:
        root = Path(repo.working_dir).resolve()
        super().__init__(Git(repo.git, root))
        self.repo = repo
        self.root = root
        self.git_dir = Path(repo.git_dir).resolve()
        self.common_dir = Path(repo.common_dir).resolve()
        self.git.claims = Claims(self.common_dir)
        self.bare = repo.bare
        self.checked_out = _checked_out(repo, self.git)
        """The branch that is checked out in this work tree, None when HEAD is detached."""

    @classmethod
    def open(cls, path: Path | str = ".") -> Self:
        """Open the repository that holds `path`. A caller's own GIT_DIR and its like are dropped from `os.environ`.

        Raises SourceError when there is none, Git does not trust its owner, or its object ids are SHA-256.
        """
        folder = Path(path).absolute()
        if not folder.is_dir():
            raise SourceError(f"{folder} is no folder", fix="name the folder of a Git clone")
        leave_callers_repository()
        try:
            repo = git.Repo(folder, search_parent_directories=True, expand_vars=False)
        except (git.InvalidGitRepositoryError, OSError) as error:
            raise SourceError(f"{folder} is no Git repository", fix="git init, or go to a clone") from error
        clone = cls(repo)
        # GitPython reads the files of any owner; git refuses those of others.
        asked = clone.git.run("rev-parse", "--show-object-format")
        if asked.code != 0:
            foreign = "dubious ownership" in asked.messages
            raise SourceError(
                f"Git does not trust the owner of {folder}" if foreign else f"{folder} is no Git repository",
                why=asked.messages.split("\n")[0],
                fix=f"git config --global --add safe.directory {clone.root}"
                if foreign
                else "git init, or go to a clone",
            )
        if asked.text != "sha1":
            raise SourceError(
                f"{folder} has {asked.text} object ids", why="GitPython reads SHA-1 ids only", fix="use a SHA-1 clone"
            )
        if not clone.bare and folder.resolve().is_relative_to(clone.git_dir):
            raise SourceError(f"{folder} lies inside a .git folder", fix="go to the work tree")
        Claims(clone.common_dir).remove_stale_locks()
        return clone

    def close(self) -> None:
        """End the process that reads objects, and what runs in other threads."""
        self.git.close()

    def require_work_tree(self) -> None:
        """Raise `SourceError` for a bare repository."""
        if self.bare:
            raise SourceError(f"{self.root} has no work tree", why="it is a bare repository", fix="go to a clone of it")

    def require_remote(self) -> None:
        """Raise `InputError` where there is nothing to push to."""
        if self.remote is None:
            raise InputError("there is no remote to push to", fix="git remote add origin <url>")

    @property
    def config(self) -> dict[str, str]:
        """Git's configuration for this clone. See `Git.config`."""
        return self.git.config

    @cached_property
    def remote(self) -> str | None:
        """The remote of the current branch's upstream, else `origin`, else the only one; None when there is none."""
        remotes = sorted({k[7:-4] for k in self.config if k.startswith("remote.") and k.endswith(".url")})
        own = self.config.get(f"branch.{self.checked_out}.remote") if self.checked_out else None
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
        """The tracked branch: the current one's upstream, else the remote's HEAD; the current one without a remote."""
        if self.remote is None:
            if self.checked_out is None:
                raise SourceError(
                    f"no branch is checked out in {self.root}", fix="git switch <branch>, or add a remote"
                )
            return self.checked_out
        merge = self.config.get(f"branch.{self.checked_out}.merge", "") if self.checked_out else ""
        if merge.startswith("refs/heads/") and self.config.get(f"branch.{self.checked_out}.remote") == self.remote:
            return merge.removeprefix("refs/heads/")
        head = self.git.run("symbolic-ref", "--quiet", f"refs/remotes/{self.remote}/HEAD")
        if head.code == 0:
            return head.text.removeprefix(f"refs/remotes/{self.remote}/")
        asked = self.git.run("ls-remote", "--symref", "--", self.remote, "HEAD", timeout=30.0)
        for line in asked.lines:
            if asked.code == 0 and line.startswith("ref: refs/heads/"):
                return line.removeprefix("ref: refs/heads/").partition("\t")[0]
        raise SourceUnavailable(
            f"the remote {self.remote} does not say which branch is its main one",
            why=asked.messages[-300:],
            fix=f"where nothing was pushed yet: git push -u {self.remote} {self.checked_out or '<branch>'}; "
            f"else: git remote set-head {self.remote} <branch>",
        )

    def upstream_of(self, branch: str) -> str:
        """The remote's branch that the local `branch` is pushed to: its upstream, else the one of its name."""
        return self.config.get(f"branch.{branch}.merge", "").removeprefix("refs/heads/") or branch

    def push_command(self, branch: str | None = None) -> str:
        """The command that pushes `branch` (the one checked out), with an upstream where it has none yet."""
        own = branch or self.checked_out
        if own is not None and f"branch.{own}.merge" in self.config:
            return "git push"
        return f"git push -u {self.remote} {own}" if own else f"git push {self.remote} HEAD:{self.branch}"

    def mirror(self, kind: Literal["heads", "tags"]) -> str:
        """Where the fetched branches or tags are; the repository's own without a remote."""
        return f"refs/gitops-ml/{self.remote}/{kind}" if self.remote else f"refs/{kind}"

    def require_ref(self, ref: str) -> None:
        """Raise InputError when Git does not accept the full name `ref` of a branch or tag."""
        if "\0" in ref or self.git.run("check-ref-format", ref).code != 0:
            kind, name = ("branch" if ref.startswith("refs/heads/") else "tag"), ref.split("/", 2)[2]
            raise InputError(
                f"'{name}' is no name for a {kind}",
                fix="take letters and digits, with single `.`, `-` or `/` between them",
            )

    def ref(self, name: str) -> str | None:
        """The object id at the full name of a ref, None when there is no such ref."""
        return self.git.run("rev-parse", "--verify", "--quiet", name).text or None


def _checked_out(repo: git.Repo, commands: Git) -> str | None:
    try:
        return repo.active_branch.name
    except TypeError:
        return None
    except ValueError:  # the refs are in a reftable, which only git reads
        return commands.run("symbolic-ref", "--quiet", "--short", "HEAD").text or None
