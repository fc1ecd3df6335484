"""What the commands that edit a declaration print."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from gitops_ml.cli import render
from gitops_ml.errors import GitopsError

if TYPE_CHECKING:
    from gitops_ml.clients.edits.edit import Written
    from gitops_ml.clients.git.repository import Repository


def show(repo: Repository, written: Written, summary: str, environment: str, pull_request: str | None = None) -> None:
    """Print what was written to stdout, and the next commands to stderr.

    Args:
        summary: what the file declares now, in one line.
        pull_request: the address of the one that was opened, where that is the next thing to look at.
    """
    if written.changed:
        render.out(f"{written.file}: {summary}")
    else:
        pending = {"": "", "commit": ", and is not committed", "push": ", and is not pushed"}[written.pending]
        render.out(f"{written.file} says so already{pending}")
    if written.commit is not None:
        render.out(
            f"commit {written.commit[:12]} {'is pushed to' if written.pushed else 'is made on'} {written.branch}"
        )
    if pull_request is not None:
        render.out(f"pull request {pull_request}")
        return
    for command in next_commands(repo, written, environment):
        render.progress(f"next: {command}")


def as_dict(written: Written, environment: str, **details: Any) -> dict[str, Any]:
    """The same for `-o json`, with `details` as further fields."""
    fields = written._asdict()
    del fields["subject"]
    return {**fields, "environment": environment, **details}


def next_commands(repo: Repository, written: Written, environment: str) -> list[str]:
    """The commands, in this order, that bring the edit to the host."""
    if not written.changed and not written.pending:
        return []
    branch = written.branch or repo.checked_out
    apart = repo.remote is not None and branch != _tracked(repo)
    last = f"open a pull request of {branch}" if apart else f"gitops-ml sync {environment}"
    if written.pushed:
        return [last]
    push = [repo.push_command(branch)] if repo.remote else []
    if written.commit or written.pending == "push":
        return [*push, last]
    added = repo.git.run("ls-files", "--error-unmatch", "--", written.file).code == 0
    sparse = "--sparse " if "core.sparsecheckout" in repo.config else ""
    add = "" if added else f"git add {sparse}{written.file} && "
    return [f"{add}git commit -m {shlex.quote(written.subject)} -- {written.file}", *push, last]


def _tracked(repo: Repository) -> str | None:
    """The branch that is synced; the one checked out where the remote does not say which."""
    try:
        return repo.branch
    except GitopsError:
        return repo.checked_out
