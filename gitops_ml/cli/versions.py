"""`register`, `versions` and `bump`: a model version gets its tag, is looked up, and is put into a
declaration.

Each of them only writes what a person could write with git and an editor: an annotated tag, two lines of a
YAML file.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from gitops_ml.clients.artifacts.resolution import ResolvedVersion
    from gitops_ml.clients.git.repository import Repository
    from gitops_ml.core.versions.tags import Model

_Repo = Annotated[Path, typer.Option("--repo", "-C", help="The clone to work in.", show_default=False)]


def add_to(app: typer.Typer) -> None:
    """Give `app` the three commands."""
    app.command("register")(register)
    app.command("versions")(versions)
    app.command("bump")(bump)


def register(
    model: Annotated[str, typer.Argument(help="A name under artifacts: in dvc.yaml.")],
    version: Annotated[str | None, typer.Option(help="The version, such as v1.2.0.", show_default=False)] = None,
    bump: Annotated[str | None, typer.Option(help="Or a step from the highest: major, minor or patch.")] = None,
    rev: Annotated[str, typer.Option(help="The commit that holds the model.")] = "HEAD",
    message: Annotated[str | None, typer.Option("--message", "-m", help="What the tag says.")] = None,
    push: Annotated[bool, typer.Option("--push", help="Push the tag, and read it back.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    repo: _Repo = Path(),
) -> None:
    """Make a version of a model: an annotated tag that GTO and DVC Studio read as their own."""
    from gitops_ml.clients.artifacts import resolution
    from gitops_ml.clients.edits import registration
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        done = registration.register(repository, model, version=version, step=bump, rev=rev, message=message, push=push)
        for warning in done.warnings:
            _say(f"warning: {warning}")
        if as_json:
            _json(_version_json(done.resolved, tag=done.tag, pushed=done.pushed) | {"places": done.places})
        else:
            print(f"{done.tag} is {done.resolved.digest} at commit {done.resolved.commit[:12]} ({done.resolved.path})")
        if not done.pushed and repository.remote:
            _say(f"next: git push {repository.remote} {done.tag}")
        named = [name for name in resolution.declared_models(repository, done.resolved.commit) if name == model]
        deployment = named[0] if named else model
        _say(f"next: gitops-ml bump dev {deployment} {done.resolved.version}")


def versions(
    model: Annotated[str | None, typer.Argument(help="Only this model.", show_default=False)] = None,
    fetch: Annotated[bool, typer.Option("--fetch", help="Ask the remote first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    repo: _Repo = Path(),
) -> None:
    """List the versions of the models, the highest first, and what each of them holds."""
    from gitops_ml.cli.render import table
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        if fetch:
            repository.fetch()
        rows = _rows(repository, model)
    if as_json:
        _json(rows)
        return
    if not rows:
        _say("no versions yet: gitops-ml register MODEL")
        return
    head = ("MODEL", "VERSION", "STATE", "CREATED", "COMMIT", "DIGEST", "PUSHED")
    lines = [
        (
            row["model"],
            row["version"],
            row["state"],
            row["created"],
            row["commit"][:12],
            row["digest"] or f"({row['error']})",
            {True: "yes", False: "no", None: "-"}[row["pushed"]],
        )
        for row in rows
    ]
    print(table(head, lines))


def bump(
    environment: Annotated[str, typer.Argument(help="The environment, such as dev.")],
    deployment: Annotated[str, typer.Argument(help="The deployment: the name of its file.")],
    version: Annotated[str, typer.Argument(help="A version, a Git revision, or latest.")] = "latest",
    create: Annotated[bool, typer.Option("--create", help="Write the declaration if it is absent.")] = False,
    model: Annotated[str | None, typer.Option(help="With --create: the model, if not of the same name.")] = None,
    branch: Annotated[str | None, typer.Option(help="With --commit: on this new branch.", show_default=False)] = None,
    commit: Annotated[bool, typer.Option("--commit", help="Commit that one file.")] = False,
    push: Annotated[bool, typer.Option("--push", help="Push the commit, and read it back.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    repo: _Repo = Path(),
) -> None:
    """Put a version, and the digest of what it holds, into a declaration."""
    from gitops_ml.clients.edits import registration
    from gitops_ml.clients.edits.edit import CommitOptions
    from gitops_ml.clients.git.repository import Repository

    with Repository.open(repo) as repository:
        done = registration.bump(
            repository,
            environment,
            deployment,
            version,
            model=model,
            create=create,
            options=CommitOptions(commit=commit, branch=branch, push=push),
        )
        tag = done.resolved.tag
        if tag and repository.remote and tag not in {t.name for t in repository.tags()}:
            _say(f"next: git push {repository.remote} {tag}")
    held, written = done.resolved, done.written
    if as_json:
        shown = _version_json(held, tag=held.tag, pushed=written.pushed)
        edit = {"file": written.file, "changed": written.changed, "branch": written.branch}
        _json(shown | edit | {"bump_commit": written.commit})
        return
    if not written.changed:
        print(f"{written.file} says {held.version} {held.digest} already")
        return
    was = f" (was {done.before})" if done.before and done.before != held.version else ""
    print(f"{written.file}: {held.version} {held.digest}{was}")
    if written.commit is None:
        _say(f"next: git commit -m 'Bump {deployment} to {held.version}' -- {written.file}, then git push")
        return
    print(f"commit {written.commit[:12]} {'is pushed to' if written.pushed else 'on'} {written.branch}")
    then = "" if written.pushed else "git push, then "
    _say(f"next: {then}" + (f"gitops-ml sync {environment}" if branch is None else f"a pull request of {branch}"))


def _rows(repository: Repository, wanted: str | None) -> list[dict[str, Any]]:
    from gitops_ml.clients.artifacts import resolution
    from gitops_ml.errors import VersionNotFound

    known: dict[str, Model] = resolution.models(repository, local=True)
    fetched = resolution.models(repository)
    names = sorted({*known, *fetched})
    if wanted is not None and wanted not in names:
        raise VersionNotFound(
            f"{wanted} has no version",
            why=f"there are versions of {', '.join(names)}" if names else "no tag registers one",
            fix=f"gitops-ml register {wanted}",
        )
    rows: list[dict[str, Any]] = []
    for name in names if wanted is None else [wanted]:
        rows += _model_rows(repository, known.get(name), fetched.get(name))
    return rows


def _model_rows(repository: Repository, own: Model | None, fetched: Model | None) -> list[dict[str, Any]]:
    from gitops_ml.clients.artifacts import resolution
    from gitops_ml.core.versions.tags import order
    from gitops_ml.errors import GitopsError

    found = {v.version: v for model in (own, fetched) if model for v in model.versions}
    rows = []
    for name in sorted(found, key=order, reverse=True):
        one = found[name]
        there = fetched.find(name) if fetched else None
        retired = any(m.deprecated for m in (own, fetched) if m)
        active = all(v.active for v in (own and own.find(name), there) if v)
        digest, error = None, None
        try:
            digest = resolution.resolve_at(repository, one.model, one.commit).digest
        except GitopsError as problem:
            error = problem.what
        rows.append(
            {
                "model": one.model,
                "version": one.version,
                "state": "deprecated" if retired else "registered" if active else "deregistered",
                "created": datetime.fromtimestamp(one.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "commit": one.commit,
                "tag": one.tag,
                "digest": digest,
                "error": error,
                "pushed": None if repository.remote is None else there is not None and there.commit == one.commit,
            }
        )
    return rows


def _version_json(held: ResolvedVersion, *, tag: str | None, pushed: bool) -> dict[str, Any]:
    return {
        "model": held.model,
        "version": held.version,
        "tag": tag,
        "commit": held.commit,
        "path": held.path,
        "digest": held.digest,
        "size": held.size,
        "pushed": pushed,
    }


def _json(value: Any) -> None:
    from gitops_ml.cli.render import as_json

    print(as_json(value))


def _say(line: str) -> None:
    print(line, file=sys.stderr)
