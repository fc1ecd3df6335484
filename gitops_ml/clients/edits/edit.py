"""A person's edit of one declaration: into the work tree, and if they say so, as a commit of that file alone.

Unlike records, these are commits in the user's own name: with their identity, their hooks and their signature.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.errors import InputError, PushRejected, SourceError


class CommitOptions(NamedTuple):
    """How far an edit is to go: a commit, on a new branch, pushed."""

    commit: bool = False
    branch: str | None = None
    push: bool = False


class Declaration(NamedTuple):
    """A declaration as the work tree has it; `text` None: it is not there."""

    file: str
    path: Path
    text: str | None


class Written(NamedTuple):
    """What became of an edit. `commit` None: it is in the work tree only."""

    file: str
    changed: bool
    commit: str | None = None
    branch: str | None = None
    pushed: bool = False


def declaration(repo: Repository, environment: str, deployment: str) -> Declaration:
    """The declaration of a deployment in the work tree. Raises `SourceError` for a bare repository."""
    if repo.bare:
        raise SourceError(f"{repo.root} has no work tree", why="it is a bare repository", fix="go to a clone of it")
    file = declaration_path(environment, deployment)
    path = repo.root / file
    return Declaration(file, path, path.read_bytes().decode() if path.is_file() else None)


def existing(repo: Repository, environment: str, deployment: str) -> tuple[Declaration, str]:
    """As `declaration`, with its text. Raises `InputError` when it is not there."""
    found = declaration(repo, environment, deployment)
    if found.text is None:
        folder = found.path.parent
        known = ", ".join(sorted(p.stem for p in folder.glob("*.y*ml"))) if folder.is_dir() else ""
        raise InputError(
            f"{found.file} does not exist",
            why=f"declared in {environment}: {known or 'nothing'}",
            fix=f"gitops-ml bump {environment} {deployment} --create",
        )
    return found, found.text


def write(repo: Repository, old: Declaration, edited: str, message: str, wish: CommitOptions) -> Written:
    """Write `edited` over `old`, and go as far as `wish` says.

    Raises:
        InputError: what would be written is no declaration (nothing is then), or git refuses the commit.
        PushRejected: the remote did not take the commit; it is made all the same.
    """
    if edited == old.text:
        return Written(old.file, False)
    parse(edited.encode(), old.file, Deployment)
    if wish.branch is not None:
        _git(repo, "switch", "--quiet", "--create", wish.branch)
    old.path.parent.mkdir(parents=True, exist_ok=True)
    old.path.write_bytes(edited.encode())
    if not (wish.commit or wish.push or wish.branch):
        return Written(old.file, True)
    if repo.git.run("ls-files", "--error-unmatch", "--", old.file).code != 0:
        _git(repo, "add", "--intent-to-add", "--", old.file)
    _git(repo, "commit", "--quiet", "-m", message, "--only", "--", old.file)
    made = repo.git.must("rev-parse", "HEAD").text
    branch = repo.git.must("rev-parse", "--abbrev-ref", "HEAD").text
    if wish.push:
        _push(repo, branch, made)
    return Written(old.file, True, made, branch, wish.push)


def _push(repo: Repository, branch: str, commit: str) -> None:
    if repo.remote is None:
        raise InputError("there is no remote to push to", fix="git remote add origin <url>")
    ref = repo.config.get(f"branch.{branch}.merge", f"refs/heads/{branch}")
    done = repo.git.run("push", "--quiet", "--set-upstream", repo.remote, f"{commit}:{ref}", timeout=120.0, hooks=True)
    asked = repo.git.run("ls-remote", repo.remote, ref, timeout=30.0)
    if asked.code != 0 or not asked.text.startswith(commit):
        raise PushRejected(
            f"{repo.remote} did not take {commit[:12]} on {ref.removeprefix('refs/heads/')}",
            why=_said(done.messages or asked.messages),
            fix="git pull --rebase, then git push; or --branch <name> and a pull request",
        )


def _said(messages: str) -> str:
    """Why, in the remote's own words where it has any."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    remote = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
    return "; ".join([line for line in remote if line] or lines[-2:])[:300]


def _git(repo: Repository, *arguments: str) -> None:
    done = repo.git.run(*arguments, hooks=True)
    if done.code != 0:
        raise InputError(f"git {arguments[0]} failed", why=(done.messages or done.text)[-400:], fix="git status")
