"""`init`: the folder `environments/` in a repository that has Git and DVC already. Nothing is overwritten."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import render
from gitops_ml.cli.schema import FOLDER, Kind, text
from gitops_ml.errors import InputError, SourceError

_PROJECT = """\
# yaml-language-server: $schema={schema}/project.json
# Everything on a host that carries this name is this repository's, and nothing else is ever touched. Under another name
# everything is started anew, beside what runs under this one.
schema: 1
name: {name}
"""

_ENVIRONMENT = """\
# yaml-language-server: $schema=../{schema}/environment.json
schema: 1
{engine}
gateway: {{bind: 127.0.0.1, port: {port}, drain: 30s}}  # one entrance for all deployments; ports are unique per engine
"""

_OWN_ENGINE = "# no engine: in dev it is the caller's own, DOCKER_HOST or the local socket"
_ENGINE = "engine: unix:///var/run/docker.sock  # or ssh://user@host, or tcp://host:2376 with TLS"
_PROMOTION = """\
promotion: {{from: {source}, soak: {soak}}}  # a version must stand Verified there, that long
"""
_POLICY = """\
policy:
  auto_revert: true   # a version that fails here is put back in Git as well
  max_removals: 50%   # more than that in one pass needs --confirm-removals
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(init)


def init(
    name: Annotated[str | None, typer.Option(help="The project's name; the folder's if none.")] = None,
    repo: Annotated[str, typer.Option("--repo", help="The clone to write into.", metavar="PATH")] = ".",
) -> None:
    """Write environments/ with dev, staging and prod into a Git and DVC repository; nothing is overwritten."""
    from gitops_ml.clients.git.repository import Repository

    clone = Repository.open(repo)
    if clone.bare:
        raise SourceError(f"{clone.root} has no work tree", why="it is a bare repository", fix="go to a clone of it")
    if not (clone.root / ".dvc").is_dir():
        raise InputError(
            f"{clone.root} is no DVC repository",
            why="models and data are versioned by DVC, and there is no .dvc folder",
            fix="dvc init, in that folder",
        )
    files = scaffold(_checked_name(name, clone.root))
    _refuse_to_overwrite(clone.root, files)
    for path, content in files.items():
        target = clone.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x") as file:
            file.write(content)
        typer.echo(path)
    render.progress("next: git add environments && git commit, git push, then: gitops-ml doctor")


def scaffold(name: str) -> dict[str, str]:
    """The files of a new project, by path."""
    environments = {
        "dev": (_OWN_ENGINE, 8081, ""),
        "staging": (_ENGINE, 8082, _PROMOTION.format(source="dev", soak="10m")),
        "prod": (_ENGINE, 8083, _PROMOTION.format(source="staging", soak="1h")),
    }
    files = {"environments/project.yaml": _PROJECT.format(schema=FOLDER, name=name)}
    for environment, (engine, port, promotion) in environments.items():
        content = _ENVIRONMENT.format(schema=FOLDER, engine=engine, port=port) + promotion + _POLICY
        files[f"environments/{environment}/environment.yaml"] = content
        # Git keeps no empty folder, and this one says where declarations go.
        files[f"environments/{environment}/models/.gitkeep"] = ""
    return files | {f"environments/{FOLDER}/{kind}.json": text(kind) for kind in Kind}


def _checked_name(name: str | None, root: Path) -> str:
    from gitops_ml.core.declaration.values import NAME_PATTERN

    found = name if name is not None else re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:40].strip("-")
    if not re.fullmatch(NAME_PATTERN, found):
        raise InputError(
            f"`{found}` is not a project's name",
            why="it must be a DNS label: a-z, 0-9 and -, at most 40 characters",
            fix="gitops-ml init --name <name>",
        )
    return found


def _refuse_to_overwrite(root: Path, files: dict[str, str]) -> None:
    if (root / "environments").is_symlink():
        raise InputError("environments is a symbolic link", why="Git would not follow it", fix="remove it")
    present = [path for path in files if (root / path).exists() or (root / path).is_symlink()]
    if present:
        raise InputError(
            f"{present[0]} is there already" + (f", and {len(present) - 1} more" if len(present) > 1 else ""),
            why="init overwrites nothing",
            fix="edit what is there; `gitops-ml doctor` says what is missing",
        )
