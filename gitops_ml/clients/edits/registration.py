"""The two edits by which a person, or a pipeline, brings a version forward: its tag, and its line in a
declaration.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, cast

from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.edits.edit import CommitOptions, Written, declaration, existing, write
from gitops_ml.clients.files.yaml_edit import get_field, set_fields
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.edits import bump_message, bumped, new_declaration
from gitops_ml.core.versions.tags import Model, check_version, choose, next_version, order, tag_name
from gitops_ml.errors import InputError, ObjectMissing, SourceUnavailable, VersionNotFound


class Registered(NamedTuple):
    """A version that now has its tag. `places` is where its bytes are."""

    held: ResolvedVersion
    tag: str
    pushed: bool
    places: list[str]
    warnings: list[str]


class Bumped(NamedTuple):
    """A declaration that now names `held`. `before` is the version that it named, None when it is new."""

    held: ResolvedVersion
    before: str | None
    written: Written


NOTHING = CommitOptions()


def register(
    repo: Repository,
    model: str,
    *,
    version: str | None = None,
    step: str | None = None,
    rev: str = "HEAD",
    message: str | None = None,
    push: bool = False,
) -> Registered:
    """Tag the commit `rev` as a version of `model`.

    Args:
        version: `v<semver>`; without it, the highest version is raised by `step` (major, minor, patch).
        push: push the tag, and say so only once the remote was read.

    Raises:
        InputError: the version exists, the commit has one already (GTO reads one at most), the names are wrong,
            or, to be pushed, the commit is beside the remote's branch.
        VersionNotFound, VersionRefused: what `resolve` finds wrong with that commit.
        ObjectMissing: nobody could ever fetch the model: its bytes are nowhere, or, to be pushed, only here.
        PushRejected: the remote did not take the tag; it is made all the same.
    """
    if version is not None and step is not None:
        raise InputError("--version and --bump exclude each other", fix="give one of them")
    if step not in (None, "major", "minor", "patch"):
        raise InputError(f"'{step}' is no step", fix="use major, minor or patch")
    warnings: list[str] = []
    if repo.remote is not None:
        try:
            repo.fetch(timeout=30.0)
        except SourceUnavailable as error:
            if push:
                raise
            warnings.append(f"{error.what}; only this clone's tags are looked at")
    known = _known(repo, model)
    commit = repo.resolve(rev)
    chosen = check_version(version) if version else next_version(known, cast("Literal['major']", step))
    held = resolution.resolve_at(repo, model, commit, chosen)
    tag = tag_name(model, chosen)
    _require_new(known, tag, chosen, commit)
    if push:
        _require_followed(repo, commit)
    places = resolution.places(repo, held)
    warnings += _check_places(repo, held, places, push)
    if rev == "HEAD" and (stale := _uncommitted(repo, held)):
        warnings.append(f"{stale} has changes that are not committed; the version holds what HEAD has")
    repo.create_tag(tag, commit, message or f"Registering artifact {model} version {chosen}")
    if push:
        repo.push_tag(tag)
    return Registered(held, tag, push and repo.remote is not None, places, warnings)


def _require_followed(repo: Repository, commit: str) -> None:
    """Refuse a commit that the remote's branch has gone past on another way: once rebased, no branch would hold it."""
    tip = repo.find_tip() if repo.remote else None
    if tip is None or repo.is_ancestor(tip, commit) or repo.is_ancestor(commit, tip):
        return
    raise InputError(
        f"{commit[:12]} and {repo.remote}/{repo.branch} have gone different ways",
        why="gitops-ml or somebody else has pushed since; a tag on a commit that is then rebased is on no branch",
        fix="git pull --rebase, git push, then register again",
    )


def _known(repo: Repository, model: str) -> Model:
    """The versions of `model` in this clone and at the remote: a name that either has used is used."""
    own, fetched = resolution.models(repo, local=True).get(model), resolution.models(repo).get(model)
    if own is None or fetched is None:
        return own or fetched or Model(name=model)
    both = {v.version: v for v in (*fetched.versions, *own.versions)}
    merged = sorted(both.values(), key=lambda v: order(v.version), reverse=True)
    light = {*own.lightweight, *fetched.lightweight}
    return Model(
        name=model,
        versions=tuple(merged),
        deprecated=own.deprecated or fetched.deprecated,
        lightweight=tuple(sorted(light)),
    )


def _require_new(known: Model, tag: str, version: str, commit: str) -> None:
    used = known.find(version)
    if used is not None or tag in known.lightweight:
        at = f"at commit {used.commit[:12]}" if used else "as a lightweight tag"
        raise InputError(
            f"{tag} exists already",
            why=f"{at}; a version never moves",
            fix=f"gitops-ml register {known.name} --version {next_version(known, None)}",
        )
    same = next((v for v in known.versions if v.commit == commit and v.active), None)
    if same is not None:
        raise InputError(
            f"commit {commit[:12]} is {same.tag} already",
            why="one commit has one version of a model: GTO reads no more",
            fix=f"use {same.version}, or commit the new model first",
        )


def _check_places(repo: Repository, held: ResolvedVersion, places: list[str], push: bool) -> list[str]:
    remotes = resolution.remote_names(repo)
    if not places:
        raise ObjectMissing(
            f"the bytes of {held.path} ({held.digest}) are nowhere",
            why="neither the cache" + (f" nor {', '.join(remotes)} has them" if remotes else " has them"),
            fix=f"dvc repro (or dvc pull {held.path}), then dvc push",
        )
    if places != ["cache"]:
        return []
    if not remotes:
        return [f"no DVC remote is set up, so only this machine has {held.path}: dvc remote add -d NAME URL; dvc push"]
    if push:
        raise ObjectMissing(
            f"the bytes of {held.path} are only in this machine's cache",
            why=f"not in {', '.join(remotes)}, so that nobody else could deploy the tag",
            fix="dvc push, then register again",
        )
    return [f"the bytes of {held.path} are only in this machine's cache: dvc push"]


def _uncommitted(repo: Repository, held: ResolvedVersion) -> str | None:
    source = held.output.source if held.output else held.path
    if repo.bare or repo.git.run("diff", "--quiet", "HEAD", "--", source).code == 0:
        return None
    return source


def bump(
    repo: Repository,
    environment: str,
    deployment: str,
    version: str,
    *,
    model: str | None = None,
    create: bool = False,
    wish: CommitOptions = NOTHING,
) -> Bumped:
    """Set `version` and the digest that it holds in a declaration of the work tree.

    Args:
        create: write a first declaration where there is none, of `model` (default: named as the deployment).
        wish: how far to go: a commit of that file alone, on a new branch, pushed.

    Raises:
        InputError: no such declaration, or one that cannot be edited.
        VersionError: what `resolve` finds wrong with the version.
        PushRejected: the remote did not take the commit; it is made all the same.
    """
    old = declaration(repo, environment, deployment)
    if old.text is None and not create:
        old, _ = existing(repo, environment, deployment)
    said = None if old.text is None else get_field(old.text, "model", old.file)
    held = _resolve(repo, model or str(said or deployment), version)
    before = None
    if old.text is None:
        edited = new_declaration(held.model, held.version, held.digest)
    else:
        before = str(get_field(old.text, "version", old.file))
        edited = set_fields(old.text, bumped(held.version, held.digest), old.file)
    done = write(repo, old, edited, bump_message(environment, deployment, before, held.version), wish)
    return Bumped(held, before, done)


def _resolve(repo: Repository, model: str, version: str) -> ResolvedVersion:
    """By this clone's tags, which a person has just made, and else by the remote's; neither may have taken it back."""
    try:
        held = resolution.resolve(repo, model, version, local=True, latest=True)
    except VersionNotFound:
        if repo.remote is None:
            raise
        repo.fetch(timeout=30.0)
        return resolution.resolve(repo, model, version, latest=True)
    if held.tag is not None:
        choose(resolution.models(repo), model, held.version)
    return held
