"""What a model version holds and where its bytes are, without a checkout: the commit says it, DVC's stores
have it.

A version is its GTO tag if there is one, else a revision that means the same in every clone. The digest of a
path is that of DVC's own output where DVC tracks it. Where Git tracks it, it is what DVC's would be: the md5
of the bytes, or of the manifest of the folder. So `digest:` in a declaration has one form, whoever tracks the
model.
"""

from __future__ import annotations

import contextlib
import posixpath
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from gitops_ml.clients.artifacts.lookup import ResolvedPath, git_bytes, listing, read_document, resolve_path, store_for
from gitops_ml.clients.artifacts.store import store_of
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.outputs import artifact_path, manifest_digest
from gitops_ml.core.versions.tags import Model, Tag, choose, is_version, read_tags, split_model
from gitops_ml.errors import (
    GitopsError,
    InputError,
    ObjectCorrupt,
    ObjectMissing,
    VersionMoved,
    VersionNotFound,
    VersionRefused,
)

__all__ = [
    "ModelFile",
    "ResolvedPath",
    "ResolvedVersion",
    "declared_models",
    "fetch",
    "held_at",
    "models",
    "places",
    "read",
    "remote_names",
    "resolve",
    "resolve_path",
]

READ_BYTES = 64 << 20


class ResolvedVersion(ResolvedPath, frozen=True, kw_only=True):
    """What one version of a model holds. `tag` is None where the version is another Git revision."""

    model: str
    version: str
    tag: str | None = None


class ModelFile(NamedTuple):
    """One verified file of a model: its name in the model, where it is now, and its size in bytes."""

    name: str
    path: Path
    size: int


def resolve(
    repo: Repository, model: str, version: str, digest: str | None = None, *, local: bool = False, latest: bool = False
) -> ResolvedVersion:
    """What `version` of `model` holds.

    Args:
        version: `v<semver>` of a GTO tag, else a tag, a branch or a commit id.
        digest: what it has to hold; a declaration's pin.
        local: by this clone's own tags, not by the fetched ones: for what is not pushed yet.
        latest: whether `latest` may be asked for: by a person, never by a declaration.

    Raises:
        VersionNotFound, VersionRefused: no such version, artifact or output; it was taken back, is external …
        VersionMoved: it holds something else than `digest`.
        ObjectMissing, ObjectCorrupt: only where a path inside a DVC folder makes its manifest necessary.
    """
    if version == "latest" and not latest:
        raise VersionRefused(
            f"{model} latest is no version",
            why="a tag made anywhere would be deployed without a commit that says so",
            fix="gitops-ml bump ENV DEPLOYMENT latest, which writes the version that it is",
        )
    commit, exact, tag = _commit_of(repo, model, version, local)
    held = held_at(repo, model, commit, exact, tag)
    if digest is not None and digest.removesuffix(".dir") != held.digest:
        raise VersionMoved(
            f"{model} {exact} no longer holds {digest}",
            why=f"{tag or exact} is at commit {commit[:12]}, which holds {held.digest}",
            fix=f"put the tag back, or take the new content: gitops-ml bump ENV DEPLOYMENT {exact}",
        )
    return held


def held_at(repo: Repository, model: str, commit: str, version: str = "", tag: str | None = None) -> ResolvedVersion:
    """What `model` is at `commit`, whatever version that is. Raises as `resolve`."""
    folder, name = split_model(model)
    file = posixpath.join(folder, "dvc.yaml")
    document = read_document(repo, commit, file)
    if document is None:
        raise VersionNotFound(
            f"{model} is not declared at commit {commit[:12]}",
            why=f"that commit has no {file}, which declares artifacts:",
            fix=f"register a commit that has it: gitops-ml register {model} --rev COMMIT",
        )
    held = resolve_path(repo, commit, artifact_path(document, file, model, name))
    fields = {f: getattr(held, f) for f in ResolvedPath.__struct_fields__}
    return ResolvedVersion(model=model, version=version or commit, tag=tag, **fields)


_MODELS: Memo[bool, tuple[list[Tag], dict[str, Model]]] = Memo()
"""The tags that were read last, fetched or local (True), and the models that they make."""


def models(repo: Repository, *, local: bool = False) -> dict[str, Model]:
    """Every model that has tags, by the fetched tags or this clone's own ones."""
    tags = repo.tags(local=local)
    known = _MODELS.of(repo)
    if (read := known.get(local)) is None or read[0] is not tags:
        read = known[local] = tags, read_tags(tags)
    return read[1]


def declared_models(repo: Repository, commit: str) -> dict[str, str]:
    """The artifacts of the root's dvc.yaml at `commit`: paths by name; what is no path is left out."""
    document = read_document(repo, commit, "dvc.yaml")
    artifacts = document.get("artifacts") if isinstance(document, dict) else None
    found = artifacts.items() if isinstance(artifacts, dict) else ()
    return {str(name): str(entry["path"]) for name, entry in found if isinstance(entry, dict) and "path" in entry}


def fetch(repo: Repository, held: ResolvedPath, folder: Path) -> list[ModelFile]:
    """Bring the bytes of `held` into `folder`, every file hashed on its way; a single file keeps its name.

    Raises:
        ObjectMissing: some bytes are in no cache and no remote.
        ObjectCorrupt: what a remote has does not hash to its digest.
        SourceUnavailable: a remote that may have them does not answer.
    """
    if held.kind == "git":
        return list(_write_git(repo, held, folder))
    if held.kind == "indirect":
        return _indirect(repo, held, folder)
    return _plain(repo, held, folder)


def _plain(repo: Repository, held: ResolvedPath, folder: Path) -> list[ModelFile]:
    store = store_for(repo, held)
    files = []
    for name, md5 in listing(store, held).items():
        target = folder / (name or posixpath.basename(held.path))
        target.parent.mkdir(parents=True, exist_ok=True)
        size = store.copy(md5, target, posixpath.join(held.path, name))
        files.append(ModelFile(target.relative_to(folder).as_posix(), target, size))
    return files


def read(
    repo: Repository, held: ResolvedPath, names: Container[str] | None = None, limit: int = READ_BYTES
) -> dict[str, bytes]:
    """The bytes of the files of `held` that are in `names` (all if None), verified. Raises as `fetch`.

    Also raises InputError when one of them is larger than `limit` bytes: use `fetch`.
    """
    with tempfile.TemporaryDirectory(prefix="gitops-ml-") as place:
        folder = Path(place)
        if held.kind == "dvc" and held.is_dir:
            store, files = store_for(repo, held), []
            for number, (name, md5) in enumerate(listing(store, held).items()):
                if names is None or name in names:
                    target = folder / str(number)
                    size = store.copy(md5, target, posixpath.join(held.path, name))
                    files.append(ModelFile(name, target, size))
        else:
            files = [f for f in fetch(repo, held, folder) if names is None or f.name in names]
        for file in files:
            if file.size > limit:
                raise InputError(
                    f"{file.name} of {held.path} has {file.size} bytes", why=f"at most {limit} are read at once"
                )
        return {file.name: file.path.read_bytes() for file in files}


def places(repo: Repository, held: ResolvedPath) -> list[str]:
    """Where all bytes of `held` are: `git`, `cache`, the names of remotes.

    Empty: nowhere. Nothing is hashed.
    """
    if held.kind == "git":
        return ["git"]
    if held.kind == "indirect":
        try:
            with tempfile.TemporaryDirectory(prefix="gitops-ml-") as folder:
                _indirect(repo, held, Path(folder))
        except GitopsError:
            return []
        return ["dvc"]
    store = store_for(repo, held)
    try:
        names = set(listing(store, held).values())
    except GitopsError:
        return []
    if held.output is not None and held.output.is_dir:
        names.add(f"{held.output.digest.removeprefix('md5:')}.dir")
    return store.places(names)


def remote_names(repo: Repository) -> list[str]:
    """The DVC remotes that the fetched tip configures, the default one first."""
    return [remote.name for remote in store_of(repo).remotes]


def _commit_of(repo: Repository, model: str, version: str, local: bool) -> tuple[str, str, str | None]:
    """The commit, the exact name and the tag of a version."""
    known = models(repo, local=local)
    if version == "latest" or is_version(version):
        chosen = choose(known, model, version)
        if chosen is not None:
            return chosen.commit, chosen.version, chosen.tag
    commit = repo.find_shared(version)
    if commit is not None:
        return commit, version, None
    have = [v.version for v in known[model].versions if v.active][:3] if model in known else []
    where = f"on {repo.remote}" if repo.remote and not local else "in this repository"
    prefixed = is_version(f"v{version}")
    raise VersionNotFound(
        f"{model} {version} does not exist",
        why=f"no tag {model.replace(':', '=')}@{version} and no tag, branch or commit {version} {where}"
        + (f"; the highest versions are {', '.join(have)}" if have else ""),
        fix=f"write v{version}" if prefixed else f"gitops-ml versions {model}; push a tag with git push --tags",
    )


def _write_git(repo: Repository, held: ResolvedPath, folder: Path) -> Iterator[ModelFile]:
    for name, data in git_bytes(repo, held.commit, held.path):
        name = name or posixpath.basename(held.path)
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        yield ModelFile(name, target, len(data))


def _indirect(repo: Repository, held: ResolvedPath, folder: Path) -> list[ModelFile]:
    from gitops_ml.clients.artifacts import dvc

    assert held.output is not None
    if held.output.imported and not held.output.legacy:
        with contextlib.suppress(ObjectMissing):  # whoever imported it has it in the cache
            return _plain(repo, held, folder)
    files = dvc.download(repo, held.commit, held.path, held.is_dir, folder, store_for(repo, held))
    for hashed in ("md5-dos2unix", "md5") if held.output.legacy else ("md5", "md5-dos2unix"):
        digests = {name: dvc.md5(path, hashed) for name, path in files.items()}
        digest = manifest_digest(digests) if held.is_dir else f"md5:{next(iter(digests.values()), '')}"
        if digest == held.digest:
            return [ModelFile(name, path, path.stat().st_size) for name, path in sorted(files.items())]
    raise ObjectCorrupt(
        f"{held.path} at commit {held.commit[:12]} is not {held.digest}",
        why="what DVC brought hashes to something else",
        fix=f"dvc update {held.path}.dvc, or dvc push it again from where it is right",
    )
