"""A person's edit of one declaration: in the work tree and, if asked for, as a commit of that file alone.

Unlike records, these commits are the user's: with their identity, their hooks and their signature.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.text import clean_line
from gitops_ml.errors import InputError, SourceError


class CommitOptions(NamedTuple):
    """What happens to an edit beyond the work tree: a commit, on a new branch, pushed. Each one implies a commit."""

    commit: bool = False
    branch: str | None = None
    push: bool = False


class Declaration(NamedTuple):
    """A declaration in the work tree. `text` is None where the file does not exist."""

    file: str
    path: Path
    text: str | None


class Written(NamedTuple):
    """The result of an edit. `commit` is None where only the work tree was changed."""

    file: str
    changed: bool
    commit: str | None = None
    branch: str | None = None
    pushed: bool = False


def find_declaration(repo: Repository, environment: str, deployment: str) -> Declaration:
    """Read the declaration of a deployment from the work tree.

    Raises `SourceError` for a bare repository, `InputError` for a file that is not UTF-8.
    """
    if repo.bare:
        raise SourceError(f"{repo.root} has no work tree", why="it is a bare repository", fix="go to a clone of it")
    file = declaration_path(environment, deployment)
    path = repo.root / file
    try:
        text = path.read_bytes().decode() if path.is_file() else None
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8", why=str(error), fix=f"edit {file}") from error
    return Declaration(file, path, text)


def read_declaration(repo: Repository, environment: str, deployment: str) -> tuple[Declaration, str]:
    """As `find_declaration`, with its text. Raises `InputError` when the file does not exist."""
    declaration = find_declaration(repo, environment, deployment)
    if declaration.text is None:
        folder = declaration.path.parent
        names = ", ".join(sorted(p.stem for p in folder.glob("*.y*ml"))) if folder.is_dir() else ""
        raise InputError(
            f"{declaration.file} does not exist",
            why=f"declared in {environment}: {names or 'nothing'}",
            fix=f"gitops-ml bump {environment} {deployment} --create",
        )
    return declaration, declaration.text


def write(repo: Repository, old: Declaration, edited: str, message: str, options: CommitOptions) -> Written:
    """Write `edited` over `old`, then commit and push as `options` say.

    Raises:
        InputError: what would be written is no declaration (nothing is written then), or git refuses the commit.
        PushRejected: the remote did not take the commit, which stays in this clone.
    """
    if edited == old.text:
        return Written(old.file, False)
    parse(edited.encode(), old.file, Deployment)
    if options.branch is not None:
        _git(repo, "switch", "--quiet", "--create", options.branch)
    old.path.parent.mkdir(parents=True, exist_ok=True)
    old.path.write_bytes(edited.encode())
    if not (options.commit or options.push or options.branch):
        return Written(old.file, True)
    if repo.git.run("ls-files", "--error-unmatch", "--", old.file).code != 0:
        _git(repo, "add", "--intent-to-add", "--", old.file)
    _git(repo, "commit", "--quiet", "-m", message, "--only", "--", old.file)
    commit = repo.git.must("rev-parse", "HEAD").text
    branch = repo.git.must("rev-parse", "--abbrev-ref", "HEAD").text
    if options.push:
        if repo.remote is None:
            raise InputError("there is no remote to push to", fix="git remote add origin <url>")
        repo.push_branch(branch, commit)
    return Written(old.file, True, commit, branch, options.push)


def _git(repo: Repository, *arguments: str) -> None:
    result = repo.git.run(*arguments, hooks=True)
    if result.code != 0:
        raise InputError(
            f"git {arguments[0]} failed", why=clean_line((result.messages or result.text)[-400:]), fix="git status"
        )
