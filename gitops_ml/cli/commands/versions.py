"""`register`, `versions` and `bump`: tag a model version, list the versions, put one into a declaration.

What they write, a person could write with git and an editor: an annotated tag, two lines of a YAML file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import completion, documents, edits, options, render
from gitops_ml.errors import GitopsError, VersionNotFound

if TYPE_CHECKING:
    from gitops_ml.clients.artifacts.resolution import ResolvedVersion
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.core.versions.tags import ModelVersions


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(register)
    app.command()(versions)
    app.command()(bump)


def register(
    model: options.Model,
    version: Annotated[str | None, typer.Option(help="The version, such as v1.2.0.", show_default=False)] = None,
    bump: Annotated[
        str | None, typer.Option(help="Or the step from the highest version: major, minor or patch.")
    ] = None,
    rev: Annotated[str, typer.Option(help="The commit that holds the model.")] = "HEAD",
    message: Annotated[str | None, typer.Option("--message", "-m", help="The message of the tag.")] = None,
    push: Annotated[bool, typer.Option("--push", help="Push the tag, then read the remote to confirm.")] = False,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Make a version of a model: an annotated tag, as GTO reads it."""
    from gitops_ml.clients.edits import registration
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        result = registration.register(
            repository, model, version=version, step=bump, rev=rev, message=message, push=push
        )
        resolved = result.resolved
        for warning in result.warnings:
            render.progress(f"warning: {warning}")
        if output == "json":
            fields = _version_json(resolved, tag=result.tag, pushed=result.pushed)
            documents.show(**fields, places=result.places)
        else:
            render.out(f"{result.tag} is {resolved.digest} at commit {resolved.commit[:12]} ({resolved.path})")
        if not result.pushed and repository.remote:
            render.progress(f"next: git push {repository.remote} {result.tag}")
        render.progress(f"next: {registration.next_bump(repository, model, resolved.version)}")


def versions(
    model: Annotated[str | None, typer.Argument(help="Only this model.", autocompletion=completion.models)] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Fetch the remote first.")] = False,
    output: options.Table = "text",
    repo: options.Repo = Path(),
) -> None:
    """List the versions of the models, with the digest of each."""
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        if fetch:
            repository.fetch()
        rows = _rows(repository, model)
    if output == "json":
        documents.show(versions=rows)
        return
    if not rows:
        render.progress("no versions yet: gitops-ml register MODEL")
        return
    staged = any(row["stages"] for row in rows)
    head = ("MODEL", "VERSION", "STATE", *(("STAGES",) if staged else ()), "CREATED", "COMMIT", "DIGEST", "PUSHED")
    lines = [
        (
            row["model"],
            row["version"],
            row["state"],
            *((",".join(row["stages"]) or "-",) if staged else ()),
            row["created"],
            row["commit"][:12],
            row["digest"] or f"({row['error']})",
            {True: "yes", False: "no", None: "-"}[row["pushed"]],
        )
        for row in rows
    ]
    render.show_table(head, lines, spare=("COMMIT", "CREATED", "PUSHED"))


def bump(
    environment: options.Environment,
    deployment: options.Deployment,
    version: Annotated[
        str, typer.Argument(help="A version, a Git revision, or latest.", autocompletion=completion.versions)
    ] = "latest",
    create: Annotated[bool, typer.Option("--create", help="Write the declaration if there is none yet.")] = False,
    model: Annotated[
        str | None, typer.Option(help="With --create: the model, if its name is not the deployment's.")
    ] = None,
    branch: options.Branch = None,
    commit: options.Commit = False,
    push: options.Push = False,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Put a version and its digest into a declaration."""
    from gitops_ml.clients.edits import registration
    from gitops_ml.clients.edits.edit import CommitOptions
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        result = registration.bump(
            repository,
            environment,
            deployment,
            version,
            model=model,
            create=create,
            options=CommitOptions(commit=commit, branch=branch, push=push),
        )
        resolved, written = result.resolved, result.written
        for warning in result.warnings:
            render.progress(f"warning: {warning}")
        if output == "json":
            fields = _version_json(resolved, tag=resolved.tag, pushed=written.pushed)
            edit = {"file": written.file, "changed": written.changed, "branch": written.branch}
            documents.show(**fields, **edit, bump_commit=written.commit, pending=written.pending)
            return
        tag = resolved.tag
        if tag and repository.remote and tag not in {t.name for t in repository.tags()}:
            render.progress(f"next: git push {repository.remote} {tag}")
        was = f" (was {result.before})" if result.before and result.before != resolved.version else ""
        edits.show(repository, written, f"{resolved.version} {resolved.digest}{was}", environment)


def _rows(repository: Repository, only: str | None) -> list[dict[str, Any]]:
    """One row a version, of one model or of all. Raises `VersionNotFound` if `only` has no version."""
    from gitops_ml.clients.artifacts import resolution
    from gitops_ml.core.versions.tags import read_tags

    local: dict[str, ModelVersions] = resolution.models(repository, local=True)
    fetched = resolution.models(repository)
    names = sorted({*local, *fetched})
    if only is not None and only not in names:
        raise VersionNotFound(
            f"{only} has no version",
            why=f"there are versions of {', '.join(names)}" if names else "there is no version tag",
            fix=f"gitops-ml register {only}",
        )
    # An assignment of the one side may be later than that of the other.
    tags = {tag.name: tag for tag in (*repository.tags(local=True), *repository.tags())}
    merged = read_tags(tags.values())
    rows: list[dict[str, Any]] = []
    for name in names if only is None else [only]:
        stages = {version.version: version.stages for version in merged[name].versions}
        rows += _model_rows(repository, local.get(name), fetched.get(name), stages)
    return rows


def _model_rows(
    repository: Repository,
    local: ModelVersions | None,
    fetched: ModelVersions | None,
    stages: Mapping[str, tuple[str, ...]],
) -> list[dict[str, Any]]:
    """The versions of a model, from the user's own tags and from those of the remote, which win.

    Args:
        stages: GTO's stages that each version is in.
    """
    from gitops_ml.clients.artifacts import resolution
    from gitops_ml.core.versions.tags import version_order

    by_name = {v.version: v for model in (local, fetched) if model for v in model.versions}
    deprecated = any(model.deprecated for model in (local, fetched) if model)
    rows = []
    for name in sorted(by_name, key=version_order, reverse=True):
        version = by_name[name]
        remote = fetched.find(name) if fetched else None
        active = all(v.active for v in (local and local.find(name), remote) if v)
        digest, error = None, None
        try:
            digest = resolution.resolve_at(repository, version.model, version.commit).digest
        except GitopsError as problem:
            error = problem.what
        pushed = remote is not None and remote.commit == version.commit
        rows.append(
            {
                "model": version.model,
                "version": version.version,
                "state": "deprecated" if deprecated else "registered" if active else "deregistered",
                "stages": stages.get(name, ()),
                "created": datetime.fromtimestamp(version.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "commit": version.commit,
                "tag": version.tag,
                "digest": digest,
                "error": error,
                "pushed": None if repository.remote is None else pushed,
            }
        )
    return rows


def _version_json(resolved: ResolvedVersion, *, tag: str | None, pushed: bool) -> dict[str, Any]:
    return {
        "model": resolved.model,
        "version": resolved.version,
        "tag": tag,
        "commit": resolved.commit,
        "path": resolved.path,
        "digest": resolved.digest,
        "size": resolved.size,
        "pushed": pushed,
    }
