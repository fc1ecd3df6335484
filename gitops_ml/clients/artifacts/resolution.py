"""What a model version holds, and its bytes: without a checkout, from the version's commit and DVC's stores.

A version is its GTO tag if there is one, else a revision that means the same in every clone. The digest of a path that
DVC tracks is that of DVC's output. The digest of a path that Git tracks is what DVC would give it: the md5 of the
bytes, or of the folder's manifest. So `digest:` in a declaration has one form, whoever tracks the model.
"""

from __future__ import annotations

import posixpath
from collections.abc import Container

import msgspec

from gitops_ml.artifacts.content import FileContent, read_content
from gitops_ml.clients.artifacts.fetching import ModelFile, fetch
from gitops_ml.clients.artifacts.model_paths import path_of_model
from gitops_ml.clients.artifacts.path_digests import (
    ResolvedPath,
    listing,
    push_advice,
    resolve_path,
    store_for,
)
from gitops_ml.clients.artifacts.scratch import scratch_folder
from gitops_ml.clients.artifacts.store import store_of
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.tags import ModelVersions, Tag, choose_version, is_version, read_tags
from gitops_ml.errors import (
    GitopsError,
    InputError,
    VersionMoved,
    VersionNotFound,
    VersionRefused,
)

READ_BYTES = 64 << 20
LARGEST = 4 << 30
"""Bytes of one file of a model or of data."""


class ResolvedVersion(ResolvedPath, frozen=True, kw_only=True):
    """What one version of a model holds. `tag` is None where the version is another Git revision."""

    model: str
    version: str
    tag: str | None = None


def resolve_version(
    repo: Repository,
    model: str,
    version: str,
    digest: str | None = None,
    *,
    local: bool = False,
    latest: bool = False,
    declared_at: str | None = None,
) -> ResolvedVersion:
    """Look up what `version` of `model` holds.

    Args:
        version: `v<semver>` of a GTO tag, else a tag, a branch or a commit id.
        digest: what the version has to hold: a declaration's pin.
        local: read this clone's own tags instead of the fetched ones, for what is not pushed yet.
        latest: whether `latest` may be asked for: by a person, never by a declaration.
        declared_at: see `resolve_at`.

    Raises:
        VersionNotFound: no such version, artifact or output.
        VersionRefused: the version was taken back, or its path is external or outside the repository.
        VersionMoved: it holds something else than `digest`.
        InputError: a document of DVC's at that commit cannot be read.
        ObjectMissing, ObjectCorrupt: only where a path inside a DVC folder makes its manifest necessary.
    """
    if version == "latest" and not latest:
        raise VersionRefused(
            f"{model} latest is no version",
            why="a tag made anywhere would be deployed without a commit that says so",
            fix="gitops-ml bump ENV DEPLOYMENT latest, which writes the version that it is",
        )
    commit, exact, tag = _commit_of(repo, model, version, local)
    resolved = resolve_at(repo, model, commit, exact, tag, declared_at)
    if digest is not None and digest.removesuffix(".dir") != resolved.digest:
        raise VersionMoved(
            f"{model} {exact} no longer holds {digest}",
            why=f"{tag or exact} is at commit {commit[:12]}, which holds {resolved.digest}",
            fix=f"put the tag back, or take the new content: gitops-ml bump ENV DEPLOYMENT {exact}",
        )
    return resolved


def resolve_at(
    repo: Repository,
    model: str,
    commit: str,
    version: str = "",
    tag: str | None = None,
    declared_at: str | None = None,
) -> ResolvedVersion:
    """Look up what `model` holds at `commit`, whatever version that is. Raises as `resolve`.

    Args:
        declared_at: the commit that says where the model is, if `commit` itself is older than the model's entry under
            `artifacts:`; None for HEAD.
    """
    resolved = _resolve_path_of(repo, model, commit, declared_at)
    return ResolvedVersion(model=model, version=version or commit, tag=tag, **msgspec.structs.asdict(resolved))


def _resolve_path_of(repo: Repository, model: str, commit: str, declared_at: str | None) -> ResolvedPath:
    try:
        path = path_of_model(repo, commit, model)
    except VersionNotFound as undeclared:
        later = declared_at or repo.ref("HEAD")
        if later is None or later == commit:
            raise
        try:
            return resolve_path(repo, commit, path_of_model(repo, later, model))
        except VersionNotFound:
            raise undeclared from None
    return resolve_path(repo, commit, path)


_MODELS: Memo[bool, tuple[list[Tag], dict[str, ModelVersions]]] = Memo()
"""The tags that were read last, the fetched ones or the local ones (True), and the models that they make."""


def models(repo: Repository, *, local: bool = False) -> dict[str, ModelVersions]:
    """Every model that has tags: the fetched tags, or this clone's own."""
    tags = repo.tags(local=local)
    memo = _MODELS.of(repo)
    kept = memo.get(local)
    if kept is None or kept[0] is not tags:
        kept = memo[local] = tags, read_tags(tags)
    return kept[1]


def read(
    repo: Repository, resolved: ResolvedPath, names: Container[str] | None = None, limit: int = READ_BYTES
) -> dict[str, bytes]:
    """Read the files of `resolved` that are in `names` (all if None), verified. Raises as `fetch`.

    Also raises InputError for a file larger than `limit` bytes: use `read_large`, or `fetch`.
    """
    return {name: bytes(content) for name, content in _read(repo, resolved, names, limit).items()}


def read_large(repo: Repository, resolved: ResolvedPath) -> dict[str, FileContent]:
    """Read the files of `resolved`, verified; large ones stay on disk. Raises as `fetch`.

    Also raises InputError for a file larger than `LARGEST`.
    """
    return _read(repo, resolved, None, LARGEST)


def _read(repo: Repository, resolved: ResolvedPath, names: Container[str] | None, limit: int) -> dict[str, FileContent]:
    with scratch_folder() as folder, push_advice(repo, resolved):
        if resolved.kind == "dvc" and resolved.is_dir:
            store, files = store_for(repo, resolved), []
            for number, (name, md5) in enumerate(listing(store, resolved).items()):
                if names is None or name in names:
                    target = folder / str(number)
                    size = store.copy(md5, target, posixpath.join(resolved.path, name).rstrip("/"))
                    files.append(ModelFile(name, target, size))
        else:
            files = [f for f in fetch(repo, resolved, folder) if names is None or f.name in names]
        for file in files:
            if file.size > limit:
                raise InputError(
                    f"{file.name} of {resolved.path} has {file.size} bytes", why=f"at most {limit} are read at once"
                )
        return {file.name: read_content(file.path) for file in files}


def places(repo: Repository, resolved: ResolvedPath) -> list[str]:
    """Where all bytes of `resolved` are: `git`, `cache`, the names of remotes; empty for nowhere. Nothing is hashed."""
    if resolved.kind == "git":
        return ["git"]
    if resolved.kind == "indirect":
        try:
            with scratch_folder() as folder:
                fetch(repo, resolved, folder)
        except GitopsError:
            return []
        return ["dvc"]
    try:
        return store_for(repo, resolved).places(_object_names(repo, resolved))
    except GitopsError:
        return []


def require_somewhere(repo: Repository, resolved: ResolvedPath) -> None:
    """Raise what `fetch` would for bytes that it does not get. Reads little, unless only DVC can get them."""
    if resolved.kind == "git":
        return
    if resolved.kind == "indirect":
        with scratch_folder() as folder:
            fetch(repo, resolved, folder)
        return
    with push_advice(repo, resolved):
        absence = store_for(repo, resolved).absence(_object_names(repo, resolved), resolved.path)
        if absence is not None:
            raise absence


def _object_names(repo: Repository, resolved: ResolvedPath) -> set[str]:
    names = set(listing(store_for(repo, resolved), resolved).values())
    if resolved.output is not None and resolved.output.is_dir:
        names.add(f"{resolved.output.digest.removeprefix('md5:')}.dir")
    return names


def remote_names(repo: Repository) -> list[str]:
    """The DVC remotes that the fetched tip configures, the default one first."""
    return [remote.name for remote in store_of(repo).remotes]


def _commit_of(repo: Repository, model: str, version: str, local: bool) -> tuple[str, str, str | None]:
    """The commit, the exact name and the tag of a version."""
    registered = models(repo, local=local)
    if version == "latest" or is_version(version):
        chosen = choose_version(registered, model, version)
        if chosen is not None:
            return chosen.commit, chosen.version, chosen.tag
    commit = repo.find_shared(version)
    if commit is not None:
        return commit, version, None
    highest = [v.version for v in registered[model].versions if v.active][:3] if model in registered else []
    where = f"on {repo.remote}" if repo.remote and not local else "in this repository"
    prefixed = is_version(f"v{version}")
    raise VersionNotFound(
        f"{model} {version} does not exist",
        why=f"no tag {model.replace(':', '=')}@{version} and no tag, branch or commit {version} {where}"
        + (f"; the highest versions are {', '.join(highest)}" if highest else ""),
        fix=f"write v{version}" if prefixed else f"gitops-ml versions {model}; push a tag with git push --tags",
    )
