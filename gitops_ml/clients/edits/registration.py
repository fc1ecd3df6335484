"""Register and bump: a version gets its tag, and a declaration gets the version."""

from __future__ import annotations

import contextlib
from typing import Literal, NamedTuple, cast

from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.path_digests import push_advice
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.artifacts.servable import lacking_for_service
from gitops_ml.clients.files.environments import EnvironmentFiles, declared_environments, read_environment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.values import label_of
from gitops_ml.core.versions.tags import (
    ModelVersions,
    Version,
    check_version,
    next_version,
    tag_name,
    version_order,
)
from gitops_ml.errors import GitopsError, InputError, ObjectMissing, SourceUnavailable


class Registered(NamedTuple):
    """A version that now has its tag. `places`: where its bytes are (`git`, `cache`, DVC remotes)."""

    resolved: ResolvedVersion
    tag: str
    pushed: bool
    places: list[str]
    warnings: list[str]


_LOOKED_AT = 50
"""How many earlier versions `register` compares: each takes a few milliseconds."""


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
        push: push the tag, and read it back.

    Raises:
        InputError: the version exists, the commit has a version already (GTO reads one at most), a name is wrong, or
            the commit of a tag to push has diverged from the remote's branch.
        VersionNotFound, VersionRefused: what `resolve` finds wrong with that commit.
        ObjectMissing: the bytes are nowhere, or, of a tag to push, only on this machine.
        PushRejected: the remote did not take the tag, which stays in this clone.
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
    registered = _registered(repo, model)
    commit = repo.resolve(rev)
    unpushed = _unpushed(repo, model, version, commit) if push and step is None else None
    chosen = unpushed or (
        check_version(version) if version else next_version(registered, cast("Literal['major']", step))
    )
    resolved = resolution.resolve_at(repo, model, commit, chosen)
    tag = tag_name(model, chosen)
    if unpushed is None:
        _require_new(repo, registered, tag, chosen, commit)
    if push:
        _require_followed(repo, commit)
    places = resolution.places(repo, resolved)
    warnings += _check_places(repo, resolved, places, push)
    if rev == "HEAD" and (stale := _uncommitted(repo, resolved)):
        warnings.append(f"{stale} has changes that are not committed; the version holds what HEAD has")
    if same := _same_bytes(repo, registered, resolved):
        warnings.append(f"{same} holds the same bytes, {resolved.digest}: nothing in the model has changed")
    warnings += lacking_for_service(repo, resolved)
    if unpushed is None:
        repo.create_tag(tag, commit, message or f"Registering artifact {model} version {chosen}")
    if push:
        repo.push_tag(tag)
    return Registered(resolved, tag, push and repo.remote is not None, places, warnings)


def _require_followed(repo: Repository, commit: str) -> None:
    """Refuse a commit that has diverged from the remote's branch: after a rebase, no branch would hold it."""
    tip = repo.find_tip() if repo.remote else None
    if tip is None or repo.is_ancestor(tip, commit) or repo.is_ancestor(commit, tip):
        return
    raise InputError(
        f"{commit[:12]} and {repo.remote}/{repo.branch} have gone different ways",
        why="gitops-ml or somebody else has pushed since; a tag on a commit that is then rebased is on no branch",
        fix="git pull --rebase, git push, then register again",
    )


def _registered(repo: Repository, model: str) -> ModelVersions:
    """The versions of `model` in this clone and at the remote: a version of either is taken."""
    own, fetched = resolution.models(repo, local=True).get(model), resolution.models(repo).get(model)
    if own is None or fetched is None:
        return own or fetched or ModelVersions(name=model)
    both = {v.version: v for v in (*fetched.versions, *own.versions)}
    merged = sorted(both.values(), key=lambda v: version_order(v.version), reverse=True)
    light = {*own.lightweight, *fetched.lightweight}
    return ModelVersions(
        name=model,
        versions=tuple(merged),
        deprecated=own.deprecated or fetched.deprecated,
        lightweight=tuple(sorted(light)),
    )


def _unpushed(repo: Repository, model: str, version: str | None, commit: str) -> str | None:
    """The version that this clone alone has at `commit`, as after a push that was refused; only `version` if given."""
    own, fetched = resolution.models(repo, local=True).get(model), resolution.models(repo).get(model)
    if own is None or repo.remote is None:
        return None
    at_remote = {v.version for v in fetched.versions} if fetched else set()
    here = [v.version for v in own.versions if v.commit == commit and v.active and v.version not in at_remote]
    return next((v for v in here if version in (None, v)), None)


def _same_bytes(repo: Repository, registered: ModelVersions, resolved: ResolvedVersion) -> str | None:
    """The newest earlier version that holds the bytes of `resolved`, among those looked at; None if none does."""
    for version in [v for v in registered.versions if v.active and v.version != resolved.version][:_LOOKED_AT]:
        try:
            earlier = resolution.resolve_at(repo, resolved.model, version.commit)
        except GitopsError:
            continue
        if earlier.digest == resolved.digest:
            return version.version
    return None


def _require_new(repo: Repository, registered: ModelVersions, tag: str, version: str, commit: str) -> None:
    used = registered.find(version)
    if used is not None or tag in registered.lightweight:
        at = f"at commit {used.commit[:12]}" if used else "as a lightweight tag"
        raise InputError(
            f"{tag} exists already",
            why=f"{at}; a version never moves",
            fix=f"gitops-ml register {registered.name} --version {next_version(registered, None)}",
        )
    same = next((v for v in registered.versions if v.commit == commit and v.active), None)
    if same is not None:
        raise InputError(
            f"commit {commit[:12]} is {same.tag} already",
            why="one commit has one version of a model: GTO reads no more",
            fix=f"{_use(repo, same)}; or commit the new model, then register again",
        )


def _use(repo: Repository, version: Version) -> str:
    """The command that goes on with a version that exists."""
    if repo.remote is not None and version.tag not in {t.name for t in repo.tags()}:
        return f"git push {repo.remote} {version.tag}"
    return next_bump(repo, version.model, version.version)


def first_environment(repo: Repository) -> EnvironmentFiles | None:
    """The environment of HEAD where versions are tried first: nothing is promoted to it. None without environments."""
    head = repo.ref("HEAD")
    files = []
    for name in declared_environments(repo, head) if head else []:
        with contextlib.suppress(GitopsError):
            files.append(read_environment(repo, str(head), name))
    return min(files, key=lambda f: (f.environment.promotion is not None, f.name != "dev", f.name), default=None)


def next_bump(repo: Repository, model: str, version: str) -> str:
    """The command that declares a version in the first environment."""
    first = first_environment(repo)
    if first is None:
        return "gitops-ml init"
    declared = next((name for name, d in sorted(first.deployments.items()) if d.model == model), None)
    if declared is not None:
        return f"gitops-ml bump {first.name} {declared} {version}"
    name = label_of(model)
    other = f" --model {model}" if name != model else ""
    return f"gitops-ml bump {first.name} {name} {version} --create{other}"


def _check_places(repo: Repository, resolved: ResolvedVersion, places: list[str], push: bool) -> list[str]:
    remotes = resolution.remote_names(repo)
    if not places:
        resolution.require_somewhere(repo, resolved)
    if places != ["cache"]:
        return []
    if not remotes:
        return [
            f"no DVC remote is set up, so only this machine has {resolved.path}: dvc remote add -d NAME URL; dvc push"
        ]
    if push:
        with push_advice(repo, resolved):
            raise ObjectMissing(
                f"the bytes of {resolved.path} are only in this machine's cache",
                why=f"not in {', '.join(remotes)}, so that nobody else could deploy the tag",
                fix="dvc push, then register again",
            )
    return [f"the bytes of {resolved.path} are only in this machine's cache: dvc push"]


def _uncommitted(repo: Repository, resolved: ResolvedVersion) -> str | None:
    source = resolved.output.source if resolved.output else resolved.path
    if repo.bare or repo.git.run("diff", "--quiet", "HEAD", "--", source).code == 0:
        return None
    return source
