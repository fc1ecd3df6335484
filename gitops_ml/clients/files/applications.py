"""The applications that models are embedded in, as commits have them.

An application's own files are code, which no revert or rollback of a declaration may change. So the declaration names
the commit whose files are meant, once those of the tip are others.
"""

from __future__ import annotations

from typing import Any

import msgspec

from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.application import Application
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.errors import GitopsError, InputError


def find_application(repo: Repository, declaration: Deployment, commit: str) -> Application | None:
    """What the model of a declaration in `commit` is embedded in; None for other patterns.

    Raises `InputError` when the commit has no such folder, or no Dockerfile in it.
    """
    serve = declaration.serve
    if serve.pattern != "embed":
        return None
    build = serve.build
    if build is None:
        return Application(image=serve.image)
    commit = build.commit or commit
    folder = repo.entry(commit, build.context)
    file = f"{build.context}/{build.dockerfile}"
    if folder is None or not folder.is_folder or repo.entry(commit, file) is None:
        raise InputError(
            f"commit {commit[:12]} has no {file}",
            why="serve.build names it, and the application is built from files that Git holds",
            fix=f"commit {file}, or correct serve.build",
        )
    return Application(context=build.context, dockerfile=build.dockerfile, commit=commit, tree=folder.id)


def restored_build(repo: Repository, then: Deployment, at: str, now: Deployment, tip: str) -> Deployment:
    """The declaration `then`, of commit `at`, with the application that it had there, for a declaration at `tip`.

    The application stays as `now` declares it where that is the same. Raises `InputError` as `find_application`.
    """
    was = find_application(repo, then, at)
    if was is None or then.serve.build is None:
        return then
    try:
        present = find_application(repo, now, tip)
    except GitopsError:
        present = None
    same = present is not None and present.content == was.content
    build = now.serve.build if same else msgspec.structs.replace(then.serve.build, commit=was.commit)
    return msgspec.structs.replace(then, serve=msgspec.structs.replace(then.serve, build=build))


def pinned_build(repo: Repository, declaration: Deployment, commit: str) -> dict[str, Any] | None:
    """`serve.build` of a declaration in `commit`, with the commit that has its files; None without `build:`."""
    application = find_application(repo, declaration, commit)
    if application is None or declaration.serve.build is None:
        return None
    pinned = msgspec.structs.replace(declaration.serve.build, commit=application.commit)
    return dict(msgspec.to_builtins(pinned))
