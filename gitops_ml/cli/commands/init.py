"""`init`: write the folder `environments/` into a repository that uses Git and DVC. Nothing is overwritten."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from gitops_ml.cli import options, render
from gitops_ml.cli.commands.schema import FOLDER, Kind, text
from gitops_ml.errors import InputError

_PROJECT = """\
# yaml-language-server: $schema={schema}/project.json
# What carries this name on a host belongs to this repository; nothing else is touched. After a change of the name
# everything starts again under the new one, beside what still runs under the old one.
schema: 1
name: {name}
"""

_ENVIRONMENT = """\
# yaml-language-server: $schema=../{schema}/environment.json
schema: 1
{engine}
gateway: {{bind: 127.0.0.1, port: {port}, drain: 30s}}  # the entrance for all deployments; ports are unique per engine
"""

_OWN_ENGINE = "# no engine: dev uses the caller's own, DOCKER_HOST or the local socket"
_ENGINE = "engine: unix:///var/run/docker.sock  # or ssh://user@host, or tcp://host:2376 with TLS"
_PROMOTION = """\
promotion: {{from: {source}, soak: {soak}}}  # a version must be Verified there, for that long
"""
_POLICY = """\
policy:
  auto_revert: true   # a version that fails here is reverted in Git as well
  max_removals: 50%   # removing more than that in one pass needs --confirm-removals
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(init)


def init(
    name: Annotated[str | None, typer.Option(help="The project's name; else that of the folder.")] = None,
    repo: options.Repo = Path(),
) -> None:
    """Write environments/ with dev, staging and prod.

    Nothing is overwritten.
    """
    from gitops_ml.clients.git.repository import Repository

    clone = Repository.open(repo)
    clone.require_work_tree()
    if not (clone.root / ".dvc").is_dir():
        raise InputError(
            f"{clone.root} is not a DVC repository",
            why="models and data are versioned by DVC, and there is no .dvc folder",
            fix="dvc init, in that folder",
        )
    files = scaffold(project_name(name, clone.root))
    _refuse_to_overwrite(clone.root, files)
    for path, content in files.items():
        target = clone.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x") as file:
            file.write(content)
        render.out(path)
    push = f" && {clone.push_command()}" if clone.remote else ""
    render.progress(f"next: git add environments && git commit -m 'Declare environments'{push}")
    render.progress("next: gitops-ml doctor")


def scaffold(name: str) -> dict[str, str]:
    """The content of a new project's files, by path."""
    environments = {
        "dev": (_OWN_ENGINE, 8081, ""),
        "staging": (_ENGINE, 8082, _PROMOTION.format(source="dev", soak="10m")),
        "prod": (_ENGINE, 8083, _PROMOTION.format(source="staging", soak="1h")),
    }
    files = {"environments/project.yaml": _PROJECT.format(schema=FOLDER, name=name)}
    for environment, (engine, port, promotion) in environments.items():
        content = _ENVIRONMENT.format(schema=FOLDER, engine=engine, port=port) + promotion + _POLICY
        files[f"environments/{environment}/environment.yaml"] = content
        # Git does not keep empty folders, and this one shows where declarations go.
        files[f"environments/{environment}/models/.gitkeep"] = ""
    return files | {f"environments/{FOLDER}/{kind}.json": text(kind) for kind in Kind}


def project_name(name: str | None, root: Path) -> str:
    """The project's name: the given one, else that of the folder. Raises `InputError` if it can be none."""
    from gitops_ml.core.declaration.values import NAME_PATTERN

    project = name if name is not None else re.sub(r"[^a-z0-9]+", "-", root.name.lower()).strip("-")[:40].strip("-")
    if not re.fullmatch(NAME_PATTERN, project):
        raise InputError(
            f"`{project}` is not a project's name",
            why="it must be a DNS label: a-z, 0-9 and -, at most 40 characters",
            fix="gitops-ml init --name <name>",
        )
    return project


def _refuse_to_overwrite(root: Path, files: dict[str, str]) -> None:
    if (root / "environments").is_symlink():
        raise InputError("environments is a symbolic link", why="Git does not follow links", fix="remove it")
    present = [path for path in files if (root / path).exists() or (root / path).is_symlink()]
    if present:
        raise InputError(
            f"{present[0]} exists already" + (f", and {len(present) - 1} more" if len(present) > 1 else ""),
            why="init overwrites nothing",
            fix="gitops-ml doctor, which says what is missing; or edit that file",
        )
