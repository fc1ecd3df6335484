"""An edit as a branch of its own on the remote: one commit on the fetched tip, made anew each time.

The work tree, the checked-out branch and the index stay as they are. The branch is replaced only while nobody else has
committed to it: a trailer of its one commit says whose it is.
"""

from __future__ import annotations

from gitops_ml.clients.git.commits import user_author
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError

TRAILER = "Gitops-ML-Branch"


def push_edit(repo: Repository, branch: str, onto: str, file: str, text: str, message: str) -> str:
    """Commit the content of one file on top of `onto`, and make the remote's `branch` that commit.

    Returns the commit: the one that is there, if it is the same change on the same commit.

    Raises `InputError` if others have committed to the branch, `SourceError` and `PushRejected`.
    """
    repo.require_remote()
    if branch == repo.branch:
        raise InputError(
            f"{branch} is the tracked branch", why="a pull request needs another one", fix="leave out --branch"
        )
    before = repo.find_tip(branch)
    if before is not None and not _is_own(repo, branch, before, onto):
        raise InputError(
            f"the branch {branch} has commits of others",
            why="it would be replaced",
            fix="choose another one: --branch <name>",
        )
    full = f"{message.rstrip()}\n\n{TRAILER}: {branch}\n"
    commit = repo.commit_files(onto, {file: text.encode()}, full, user_author(repo.config))
    if before is not None and _same_change(repo, before, commit, onto):
        return before
    repo.replace_branch(branch, commit, before)
    return commit


def _is_own(repo: Repository, branch: str, tip: str, onto: str) -> bool:
    """Whether the branch holds nothing but one commit of ours on the tracked branch, or nothing of its own at all."""
    if repo.is_ancestor(tip, onto):
        return True
    last = repo.log(n=1, rev=tip)[0]
    return f"\n{TRAILER}: {branch}" in last.message and repo.is_ancestor(repo.resolve(f"{tip}^"), onto)


def _same_change(repo: Repository, before: str, commit: str, onto: str) -> bool:
    trees = [repo.git.run("rev-parse", f"{each}^{{tree}}").text for each in (before, commit)]
    return trees[0] == trees[1] and not repo.is_ancestor(before, onto) and repo.resolve(f"{before}^") == onto
