"""`register`, `versions` and `bump`: tag a model version, list the versions, put one into a declaration.

What they write, a person could write with git and an editor: an annotated tag, two lines of a YAML file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops_ml.cli import completion, documents, edits, options, render
from gitops_ml.cli.command import ungrouped

if TYPE_CHECKING:
    from gitops_ml.clients.artifacts.resolution import ResolvedVersion


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(register)
    app.command()(versions)
    app.command()(ungrouped(bump))


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
    from gitops_ml.cli.version_rows import version_rows
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        if fetch:
            repository.fetch()
        rows = version_rows(repository, model)
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
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Let this deployment load a pickle, which may run any code.")
    ] = False,
    image: Annotated[
        str | None,
        typer.Option(
            help="With serve.pattern image or embed: the application's image by digest, name@sha256:…", metavar="REF"
        ),
    ] = None,
    *,
    edit: options.Edit,
    output: options.Output = "text",
    repo: options.Repo = Path(),
) -> None:
    """Put a version and its digest into a declaration."""
    from gitops_ml.cli.pull_request import edit_place
    from gitops_ml.clients.edits.bump import BumpOptions
    from gitops_ml.clients.edits.bump import bump as bump_declaration
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        place = edit_place(repository, edit, f"bump/{environment}-{deployment}")
        also = BumpOptions(model=model, create=create, allow_pickle=allow_pickle, image=image)
        result = bump_declaration(repository, environment, deployment, version, also, options=place.options)
        resolved, written = result.resolved, result.written
        for warning in result.warnings:
            render.progress(f"warning: {warning}")
        url = place.propose(repository, written, environment)
        if output == "json":
            fields = _version_json(resolved, tag=resolved.tag, pushed=written.pushed) | {"pull_request": url}
            change = {"file": written.file, "changed": written.changed, "branch": written.branch}
            documents.show(**fields, **change, bump_commit=written.commit, pending=written.pending)
            return
        tag = resolved.tag
        if tag and repository.remote and tag not in {t.name for t in repository.tags()}:
            render.progress(f"next: git push {repository.remote} {tag}")
        was = f" (was {result.before})" if result.before and result.before != resolved.version else ""
        edits.show(repository, written, f"{resolved.version} {resolved.digest}{was}", environment, url)


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
