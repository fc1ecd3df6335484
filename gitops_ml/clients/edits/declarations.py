"""Finding the declaration that an edit changes: in the work tree, or in HEAD where the clone leaves the file out.

A sparse or `--no-checkout` clone has the declaration in HEAD alone. To begin it anew there would drop its replicas,
checks, environment and hold.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.files.environments import ROOT, declared_environments
from gitops_ml.clients.files.yaml_edit import get_field
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import declaration_path
from gitops_ml.core.declaration.values import IMAGE_PATTERN
from gitops_ml.errors import InputError
from gitops_ml.suggest import did_you_mean


class Declaration(NamedTuple):
    """A declaration, as its next edit finds it.

    Args:
        text: the file in the work tree, or in HEAD where the clone leaves it out; None where there is none.
        committed: the file in HEAD, None where there is none.
    """

    file: str
    path: Path
    text: str | None
    committed: str | None


def find_declaration(repo: Repository, environment: str, deployment: str, at: str | None = None) -> Declaration:
    """Read the declaration of a deployment.

    Args:
        at: read it at this commit alone, whatever is in the work tree.

    Raises `SourceError` for a bare repository, `InputError` for an environment that is not declared, and for a file
    that is not UTF-8 or whose removal is not committed.
    """
    repo.require_work_tree()
    file = declaration_path(environment, deployment)
    _require_environment(repo, environment, at)
    path = repo.root / file
    if at is not None:
        blob = repo.read_file(at, file)
        text = None if blob is None else _text(blob, file)
        return Declaration(file, path, text, text)
    blob = _in_head(repo, file)
    committed = None if blob is None else _text(blob, file)
    if path.is_file():
        return Declaration(file, path, _text(path.read_bytes(), file), committed)
    if committed is not None and not _is_left_out(repo, environment, file):
        raise InputError(
            f"{file} is removed here, and its removal is not committed",
            why="HEAD declares it, and the edit would bring it back",
            fix=f"git -C {repo.root} restore --staged --worktree -- {file}",
        )
    return Declaration(file, path, committed, committed)


def read_declaration(
    repo: Repository, environment: str, deployment: str, create: str = "", at: str | None = None
) -> tuple[Declaration, str]:
    """As `find_declaration`, with its text. Raises `InputError` when there is none, with the command to `create` it."""
    declaration = find_declaration(repo, environment, deployment, at)
    if declaration.text is None:
        names = _deployment_names(repo, environment)
        declared = f"declared in {environment}: {', '.join(names) or 'nothing'}"
        near = did_you_mean(deployment, names)
        raise InputError(
            f"{declaration.file} does not exist",
            why=f"{declared}; {near}" if near else declared,
            fix=create or f"gitops-ml bump {environment} {deployment} --create",
        )
    return declaration, declaration.text


def require_image(repo: Repository, environment: str, deployment: str, image: str, at: str | None) -> None:
    """Check that the deployment is served by an image of the team's, and that `image` is one by its digest.

    Raises `InputError`, and as `read_declaration`.
    """
    declaration, text = read_declaration(repo, environment, deployment, at=at)
    pattern, build = (get_field(text, f"serve.{key}", declaration.file) for key in ("pattern", "build"))
    if pattern not in ("image", "embed") or build is not None:
        raise InputError(
            f"{declaration.file} is not served by an image of yours",
            why="--image changes `serve.image`, which only serve.pattern image reads, and embed without `build:`",
            fix=f"edit serve in {declaration.file}, or leave out --image",
        )
    if not re.fullmatch(IMAGE_PATTERN, image):
        raise InputError(
            f"{image[:100]!r} is no image by its digest",
            why="a tag may name another image tomorrow",
            fix="write name@sha256:…, or the ID of an image of that engine",
        )


def _text(data: bytes, file: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not UTF-8", why=str(error), fix=f"edit {file}") from error


def _in_head(repo: Repository, file: str) -> bytes | None:
    head = repo.ref("HEAD")
    return repo.read_file(head, file) if head else None


def is_skipped(repo: Repository, file: str) -> bool:
    """Whether Git leaves a tracked file out of a sparse work tree."""
    return repo.git.run("ls-files", "-t", "--", file).text.startswith("S ")


def _is_left_out(repo: Repository, environment: str, file: str) -> bool:
    """Whether the clone, sparse or not checked out, has the committed `file` not in its work tree."""
    if is_skipped(repo, file):
        return True
    main = f"{ROOT}/{environment}/environment.yaml"
    return not (repo.root / main).exists() and _in_head(repo, main) is not None


def _deployment_names(repo: Repository, environment: str) -> list[str]:
    head, folder = repo.ref("HEAD"), f"{ROOT}/{environment}/models"
    committed = repo.entries(head, folder) if head else {}
    files = {*(p.name for p in (repo.root / folder).glob("*")), *committed}
    return sorted({Path(name).stem for name in files if name.endswith((".yaml", ".yml"))})


def _require_environment(repo: Repository, environment: str, at: str | None) -> None:
    main = f"{ROOT}/{environment}/environment.yaml"
    if at is not None and repo.entry(at, main) is not None:
        return
    if at is None and ((repo.root / main).is_file() or _in_head(repo, main) is not None):
        return
    head = at or repo.ref("HEAD")
    committed = declared_environments(repo, head) if head else []
    names = sorted({*committed, *(p.parent.name for p in (repo.root / ROOT).glob("*/environment.yaml"))})
    raise InputError(
        f"there is no environment `{environment}`",
        why=f"{main} does not exist; declared: {', '.join(names) or 'none'}",
        fix=did_you_mean(environment, names) or (f"name one of them, or write {main}" if names else "gitops-ml init"),
    )
