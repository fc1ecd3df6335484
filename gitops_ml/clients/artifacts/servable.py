"""Whether an artifact can be served as it is: all mistakes at once, before a tag, a push or an image is made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import Any

from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST, Manifest, broken_file, parse_manifest
from gitops_ml.artifacts.model_files import MAX_BYTES, REQUIREMENTS, parse_example
from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.artifacts.sidecar import artifact_names, find_sidecar, read_sidecar, require_apart, sidecar_path
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.verification.judgeable import require_judgeable
from gitops_ml.errors import GitopsError, InputError, ModelRejected
from gitops_ml.serving.building.requirements import read_lock

FIX = (
    "gitops-ml adopt {path}, which writes {folder}/; or let the training write it with gitops_ml.save_model; or put "
    "{files} beside the model, and commit: docs/serving.md of gitops-ml shows each file"
)


def _manifest(content: bytes) -> Manifest:
    from gitops_ml.serving.prediction.manifest import parse_served_manifest  # imports numpy

    return parse_served_manifest(content)


_READERS: dict[str, Callable[[bytes], Any]] = {
    MANIFEST: _manifest,
    EXAMPLE: parse_example,
    REQUIREMENTS: read_lock,
}
_NEEDED = tuple(_READERS)


def unservable(repo: Repository, resolved: ResolvedVersion) -> ModelRejected | None:
    """What keeps `service` from serving a version, all of it at once; None if nothing does.

    Only names and the three text files are read, as they are before an image is built; those beside the model in Git as
    the version's commit has them, else as HEAD has them. What only DVC can get is not looked at.

    Raises as `resolution.read`.
    """
    if resolved.kind == "indirect":
        return None
    folder = sidecar_path(resolved.model)
    sidecar = find_sidecar(repo, resolved.model, resolved, repo.resolve("HEAD"))
    if not resolved.is_dir and sidecar is None:
        return _rejected(
            f"{resolved.path} is one file, and the model server takes a folder",
            f"beside the model the folder holds {_listed(_NEEDED)}",
            _NEEDED,
            folder,
            resolved.path,
        )
    own = artifact_names(repo, resolved)
    try:
        beside = read_sidecar(repo, sidecar) if sidecar else {}
        require_apart(own, beside.keys())
    except ModelRejected as error:
        return error
    texts = _texts(repo, resolved, own, beside, _NEEDED)
    return _all_at_once(text_mistakes(resolved.path, own | beside.keys(), texts, folder))


def unjudgeable(
    repo: Repository, resolved: ResolvedVersion, declared: Deployment, commit: str = "HEAD"
) -> InputError | None:
    """Why the declared hold-out can never judge the version; None if it can, or if no model server would answer it.

    None as well where there is no readable manifest: that is what `unservable` tells. `commit` has the manifest beside
    the model where the version's own commit lacks it. Raises as `resolution.read`.
    """
    holdout = declared.verify.holdout
    if holdout is None or not declared.serve.by_model_server or resolved.kind == "indirect":
        return None
    sidecar = find_sidecar(repo, resolved.model, resolved, repo.resolve(commit))
    try:
        beside = read_sidecar(repo, sidecar) if sidecar else {}
        texts = _texts(repo, resolved, artifact_names(repo, resolved), beside, [MANIFEST])
        if MANIFEST in texts:
            require_judgeable(holdout, parse_manifest(texts[MANIFEST]))
    except ModelRejected:
        return None
    except InputError as error:
        return error
    return None


def _texts(
    repo: Repository, resolved: ResolvedVersion, own: Set[str], beside: Mapping[str, bytes], names: Iterable[str]
) -> dict[str, bytes]:
    """The content of those files of these names that the artifact, or the folder beside it, has."""
    wanted = own & set(names)
    texts = resolution.read(repo, resolved, wanted) if wanted else {}  # reading nothing still fetches a lone file
    return texts | {name: beside[name] for name in beside.keys() & set(names)}


def text_mistakes(path: str, names: Set[str], texts: Mapping[str, bytes], folder: str) -> list[ModelRejected]:
    """What keeps an artifact from being served, as far as its names and texts show it; each file's mistakes at once.

    Args:
        path: how messages name the artifact.
        names: of all files, those beside it in Git included.
        texts: the content of manifest, example and requirements, as far as they are there.
        folder: where files beside the artifact belong.
    """
    absent = [name for name in _NEEDED if name not in names]
    manifest: Manifest | None = None
    broken: list[ModelRejected] = []
    for name in _NEEDED:
        if name in texts:
            try:
                content_read = _read(name, texts[name])
            except ModelRejected as error:
                broken.append(error)
                continue
            manifest = content_read if isinstance(content_read, Manifest) else manifest
    if manifest is not None and manifest.file and manifest.file not in names:
        absent.append(manifest.file)
    if manifest is not None and EXAMPLE in texts and not any(EXAMPLE in error.what for error in broken):
        broken += _against_inputs(texts[EXAMPLE], manifest)
    if absent:
        missing = f"{path} lacks {_listed(absent)}"
        broken.insert(0, _rejected(missing, "the model server needs each of them", absent, folder, path))
    return broken


def _against_inputs(example: bytes, manifest: Manifest) -> list[ModelRejected]:
    """Whether the server would take the example as a request for this model."""
    from gitops_ml.serving.messages import ProtocolError  # imports numpy
    from gitops_ml.serving.protocol import parse_request, read_columns

    try:
        read_columns(*parse_request(example, len(example)), manifest.inputs)
    except ProtocolError as error:
        fix = f"correct {EXAMPLE}, or `inputs` of {MANIFEST}"
        return [ModelRejected(f"the model's {EXAMPLE} is no request for it", why=str(error), fix=fix)]
    return []


def _read(name: str, content: bytes) -> Any:
    limit = MAX_BYTES.get(name)
    if limit is not None and len(content) > limit:
        raise broken_file(name, f"it has {len(content):,} bytes, {limit:,} are allowed")
    return _READERS[name](content)


def _all_at_once(errors: Sequence[ModelRejected]) -> ModelRejected | None:
    if len(errors) < 2:
        return errors[0] if errors else None
    fixes = dict.fromkeys(error.fix for error in errors)
    return ModelRejected(
        ", and ".join(error.what for error in errors),
        why="; ".join(f"{_file_of(error)}{error.why}" for error in errors),
        fix="; ".join(fixes),
    )


def _file_of(error: ModelRejected) -> str:
    return next((f"{name}: " for name in _NEEDED if f"'s {name} " in error.what), "")


def lacking_for_service(repo: Repository, resolved: ResolvedVersion, declared: Deployment | None = None) -> list[str]:
    """As `unservable` and `unjudgeable`, as warnings: another image may serve the model.

    Bytes that cannot be had are no warning here.
    """
    try:
        lacking = [unservable(repo, resolved), unjudgeable(repo, resolved, declared) if declared else None]
    except GitopsError:
        return []
    return [str(error).replace("\n  fix: ", "; ") for error in lacking if error]


def _rejected(what: str, why: str, files: Sequence[str], folder: str, path: str) -> ModelRejected:
    return ModelRejected(what, why=why, fix=FIX.format(files=_listed(files), folder=folder, path=path))


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
