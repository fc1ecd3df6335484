"""A person's edit of one declaration: in the work tree and, if asked for, as a commit of that file alone.

Unlike records, these commits are the user's: with their identity, their hooks and their signature. An edit that was
stopped half-way, by a hook or by the remote, is completed by the same command.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from gitops_ml.clients.edits.declarations import Declaration, is_skipped
from gitops_ml.clients.edits.edit_branch import push_edit
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.commits import signs_off
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError, SourceUnavailable


class CommitOptions(NamedTuple):
    """What happens to an edit beyond the work tree: a commit, on a new branch, pushed. Each one implies a commit.

    `onto`: make the commit on top of this one, push it to `branch` alone, and leave the work tree as it is.
    """

    commit: bool = False
    branch: str | None = None
    push: bool = False
    onto: str | None = None

    @property
    def commits(self) -> bool:
        return self.commit or self.push or self.branch is not None

    def words(self) -> str:
        """The same as options of a command line, each after a space."""
        if self.onto is not None:
            return " --pr"
        chosen = (self.commit and "--commit", self.branch and f"--branch {self.branch}", self.push and "--push")
        return "".join(f" {option}" for option in chosen if option)


class Written(NamedTuple):
    """The result of an edit. `commit` is None where no commit was made or pushed.

    Args:
        subject: the first line of the commit's message.
        pending: what the declaration still waits for, where nothing was to be changed.
    """

    file: str
    changed: bool
    subject: str
    commit: str | None = None
    branch: str | None = None
    pushed: bool = False
    pending: Literal["", "commit", "push"] = ""


def before_edit(declaration: Declaration, options: CommitOptions) -> str | None:
    """The declaration that the edit replaces: HEAD's where a commit is made of it, else the work tree's."""
    return declaration.committed if options.commits else declaration.text


def write(repo: Repository, old: Declaration, edited: str, message: str, options: CommitOptions) -> Written:
    """Write `edited` over `old`, then commit and push as `options` say.

    Raises:
        InputError: what would be written is no declaration, or could not be committed or pushed (nothing is written
            then), or git refuses the commit.
        PushRejected: the remote did not take the commit, which stays in this clone.
    """
    subject = message.partition("\n")[0]
    if options.onto is not None:
        if edited == old.text:
            return Written(old.file, False, subject)
        parse(edited.encode(), old.file, Deployment)
        branch = str(options.branch)
        commit = push_edit(repo, branch, options.onto, old.file, edited, message)
        return Written(old.file, True, subject, commit, branch, pushed=True)
    if edited == old.text and not options.commits:
        return Written(old.file, False, subject, pending=_pending(repo, old))
    parse(edited.encode(), old.file, Deployment)
    if options.commits:
        _require_branch(repo, options)
        _switch(repo, options.branch)
    if edited != old.text or not old.path.exists():
        old.path.parent.mkdir(parents=True, exist_ok=True)
        old.path.write_bytes(edited.encode())
    if not options.commits:
        return Written(old.file, True, subject)
    committed = _commit(repo, [old.file], message)
    commit = repo.git.must("rev-parse", "HEAD").text
    branch = str(options.branch or repo.checked_out)
    pushed = options.push and (committed or not _is_pushed(repo, old.file, branch))
    if pushed:
        repo.push_branch(branch, commit)
    if not (committed or pushed):
        return Written(old.file, False, subject, pending=_pending(repo, old))
    return Written(old.file, True, subject, commit, branch, pushed)


def commit_files(repo: Repository, files: Sequence[str], message: str, *, push: bool) -> str | None:
    """Commit these files of the work tree alone, as the user does; the commit, or None where HEAD has them so already.

    Args:
        push: push the branch too, and read it back.

    Raises:
        InputError: no branch is checked out, there is no remote, or git refuses the commit.
        PushRejected: the remote did not take the commit, which stays in this clone.
    """
    _require_branch(repo, CommitOptions(commit=True, push=push))
    committed = bool(files) and _commit(repo, files, message)
    commit = repo.git.must("rev-parse", "HEAD").text
    if push:
        repo.push_branch(str(repo.checked_out), commit)
    return commit if committed else None


def _require_branch(repo: Repository, options: CommitOptions) -> None:
    if options.push:
        repo.require_remote()
    if options.branch is None and repo.checked_out is None:
        raise InputError(
            "no branch is checked out",
            why="a commit on a detached HEAD belongs to no branch",
            fix="add --branch <name>",
        )


def _switch(repo: Repository, branch: str | None) -> None:
    """Switch to a new branch; stay where it is checked out already, as after a commit that a hook refused."""
    if branch is None or branch == repo.checked_out:
        return
    repo.require_ref(f"refs/heads/{branch}")
    if repo.ref(f"refs/heads/{branch}"):
        raise InputError(
            f"the branch {branch} exists already",
            why="--branch begins a new one",
            fix=f"git -C {repo.root} switch {branch}, then the same command with --commit; or another name",
        )
    _git(repo, "switch", "--quiet", "--no-track", "--create", branch)


def _commit(repo: Repository, files: Sequence[str], message: str) -> bool:
    """Commit the files; False where HEAD has them so already."""
    for file in files:
        if repo.git.run("ls-files", "--error-unmatch", "--", file).code != 0:
            _git(repo, "add", "--sparse", "--intent-to-add", "--", file)
        if is_skipped(repo, file):
            _git(repo, "update-index", "--no-skip-worktree", "--", file)
    if not _are_edited(repo, files):
        return False
    signed_off = ["--signoff"] if signs_off(repo.config) else []
    _git(repo, "commit", "--quiet", *signed_off, "--cleanup=whitespace", "-m", message, "--only", "--", *files)
    repo.forget()
    return True


def _are_edited(repo: Repository, files: Sequence[str]) -> bool:
    """Whether a file in the work tree is not as HEAD has it."""
    return repo.git.run("diff", "--quiet", "--no-ext-diff", "--no-textconv", "HEAD", "--", *files).code != 0


def _pending(repo: Repository, old: Declaration) -> Literal["", "commit", "push"]:
    if old.committed is None or (old.path.exists() and _are_edited(repo, [old.file])):
        return "commit"
    return "push" if repo.remote and not _is_at_remote(repo, old.file, repo.checked_out) else ""


def _is_pushed(repo: Repository, file: str, branch: str) -> bool:
    """Whether the remote's branch has the file as HEAD has it, asked from the remote."""
    try:
        repo.fetch(timeout=30.0)
    except SourceUnavailable:
        return False  # the push then says what is wrong
    return _is_at_remote(repo, file, branch)


def _is_at_remote(repo: Repository, file: str, branch: str | None) -> bool:
    """Whether the fetched branch that `branch` is pushed to has the file as HEAD has it."""
    head = repo.ref("HEAD")
    tip = repo.find_tip(repo.upstream_of(branch) if branch else None)
    return tip is not None and head is not None and repo.entry(tip, file) == repo.entry(head, file)


def _git(repo: Repository, *arguments: str) -> None:
    result = repo.git.run(*arguments, hooks=True)
    if result.code != 0:
        raise InputError(
            f"git {arguments[0]} failed",
            why=clean_line((result.messages or result.text)[-400:]),
            fix="put right what it says, then run the same command again; the edit is in the work tree",
        )
