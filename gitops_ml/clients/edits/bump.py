"""`bump`: a version and its digest in a declaration, with what a first or another way of serving it needs."""

from __future__ import annotations

from typing import NamedTuple

from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.artifacts.servable import lacking_for_service
from gitops_ml.clients.edits.declarations import find_declaration, read_declaration, require_image
from gitops_ml.clients.edits.edit import CommitOptions, Written, before_edit, write
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import bump_message, bumped, new_declaration
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.versions.tags import choose_version
from gitops_ml.errors import InputError, VersionNotFound

WORK_TREE_ONLY = CommitOptions()


class BumpOptions(NamedTuple):
    """What a bump may change besides the version.

    `model`: of a first declaration; named as the deployment if None. `create`: write a first declaration where there is
    none. `allow_pickle`: let the deployment load a pickle. `image`: the digest of the application's image.
    """

    model: str | None = None
    create: bool = False
    allow_pickle: bool = False
    image: str | None = None

    @property
    def serve(self) -> dict[str, object]:
        """The keys of `serve:` to set."""
        keys = {"serve.allow_pickle": self.allow_pickle or None, "serve.image": self.image}
        return {key: value for key, value in keys.items() if value is not None}

    def words(self) -> str:
        """The same as options of a command line, each after a space."""
        return (f" --model {self.model}" if self.model else "") + " --allow-pickle" * self.allow_pickle


class Bumped(NamedTuple):
    """A declaration that now names the version `resolved`. `before`: the version that it named, None if it is new.

    `warnings`: what the artifact lacks to be served and judged.
    """

    resolved: ResolvedVersion
    before: str | None
    written: Written
    warnings: list[str]


VERSION_ONLY = BumpOptions()


def bump(
    repo: Repository,
    environment: str,
    deployment: str,
    version: str,
    also: BumpOptions = VERSION_ONLY,
    *,
    options: CommitOptions = WORK_TREE_ONLY,
) -> Bumped:
    """Write a version and its digest into a declaration of the work tree.

    Args:
        also: what else to write.
        options: whether the edit is committed and pushed.

    Raises:
        InputError: no such declaration, or one that cannot be edited.
        VersionError: what `resolve` finds wrong with the version.
        PushRejected: the remote did not take the commit, which stays in this clone.
    """
    if also.image is not None:
        require_image(repo, environment, deployment, also.image, at=options.onto)
    old = find_declaration(repo, environment, deployment, options.onto)
    if old.text is None and not also.create:
        command = f"gitops-ml bump {environment} {deployment} {version} --create{also.words()}{options.words()}"
        read_declaration(repo, environment, deployment, command, options.onto)
    declared = None if old.text is None else get_field(old.text, "model", old.file)
    if declared is not None and also.model not in (None, str(declared)):
        raise InputError(
            f"{old.file} declares the model {declared}",
            why=f"--model {also.model} names another one, and only a new declaration takes it",
            fix=f"edit `model:` in {old.file}",
        )
    resolved = _resolve(repo, also.model or str(declared or deployment), version)
    base = before_edit(old, options)
    before = None if base is None else str(get_field(base, "version", old.file))
    if old.text is None:
        edited = new_declaration(resolved.model, resolved.version, resolved.digest)
    else:
        edited = set_fields(old.text, bumped(resolved.version, resolved.digest), old.file)
    edited = set_fields(edited, also.serve, old.file)
    message = bump_message(environment, deployment, before, resolved.version)
    written = write(repo, old, edited, message, options)
    return Bumped(resolved, before, written, _warnings(repo, resolved, edited, old.file))


def _warnings(repo: Repository, resolved: ResolvedVersion, declaration: str, file: str) -> list[str]:
    """What the artifact lacks to be served, and what it lacks to be judged; nothing for an application's image."""
    try:
        declared = parse(declaration.encode(), file, Deployment)
    except InputError:
        return lacking_for_service(repo, resolved)
    return lacking_for_service(repo, resolved, declared) if declared.serve.by_model_server else []


def _resolve(repo: Repository, model: str, version: str) -> ResolvedVersion:
    """Look up a version in this clone's tags, which may be new, else in the remote's. Neither may have revoked it."""
    try:
        resolved = resolution.resolve_version(repo, model, version, local=True, latest=True)
    except VersionNotFound:
        if repo.remote is None:
            raise
        repo.fetch(timeout=30.0)
        return resolution.resolve_version(repo, model, version, latest=True)
    if resolved.tag is not None:
        choose_version(resolution.models(repo), model, resolved.version)
    return resolved
