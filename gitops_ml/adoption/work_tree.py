"""Artifacts as they lie in the work tree: which there are, their files, and what is wrong with their texts."""

from __future__ import annotations

import posixpath
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gitops_ml.artifacts.content import LARGE, FileContent, read_content
from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST
from gitops_ml.artifacts.model_files import REQUIREMENTS, read_model_files
from gitops_ml.clients.artifacts.scratch import scratch_folder, writing_to
from gitops_ml.clients.artifacts.servable import text_mistakes
from gitops_ml.clients.artifacts.sidecar import require_apart, sidecar_path
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.core.declaration.mapping import Request
from gitops_ml.core.verification.applications import require_inputs
from gitops_ml.errors import InputError, ModelRejected, VersionNotFound
from gitops_ml.suggest import did_you_mean


class WorkTreeModel(NamedTuple):
    """A model in the work tree: how it is called, its path, and the folder of the files beside it."""

    model: str
    path: str
    beside: str


def find_artifacts(root: Path, asked: Sequence[str]) -> list[WorkTreeModel]:
    """The artifacts to check.

    Args:
        asked: names under `artifacts:` (`folder:name` in a monorepo), or paths; without any, all names of dvc.yaml.

    Raises `InputError` for what is neither, and for a dvc.yaml that cannot be read.
    """
    if not asked:
        declared = _declared(root, "")
        if not declared:
            raise InputError(
                "dvc.yaml declares no model",
                why="there is none under artifacts:",
                fix="gitops-ml adopt; or name a path: gitops-ml check PATH",
            )
        return list(declared.values())
    return [_find(root, each) for each in asked]


def read_artifact(root: Path, artifact: WorkTreeModel) -> dict[str, FileContent]:
    """The files of an artifact, with those beside it where it has no manifest of its own.

    Raises:
        VersionNotFound: its bytes are not in the work tree.
        ModelRejected: a file is in both places.
    """
    own = _files(root / artifact.path, artifact)
    beside = _regular_files(root / artifact.beside) if MANIFEST not in own else {}
    require_apart(own.keys(), beside.keys())
    return {**own, **beside}


def check_texts(root: Path, model: str) -> list[ModelRejected]:
    """What is wrong with the texts of a declared model in the work tree; nothing where its bytes are not there.

    Neither an engine nor the model's own file is read, which may be large.
    """
    artifact = _declared(root, model.rpartition(":")[0]).get(model)
    if artifact is None or not (root / artifact.path).exists():
        return []
    path = root / artifact.path
    own = {path.name: path} if path.is_file() else _paths(path)
    files = own if MANIFEST in own else own | _paths(root / artifact.beside)
    if MANIFEST not in files:
        return []  # another server may serve it; `register` and `bump` warn
    texts = {name: files[name].read_bytes() for name in (MANIFEST, EXAMPLE, REQUIREMENTS) if name in files}
    return text_mistakes(artifact.path, files.keys(), texts, artifact.beside)


def check_mapping(root: Path, model: str, request: Request) -> None:
    """Check that an application's request fits the texts of its model, where the work tree has them.

    Raises `ModelRejected` for malformed texts, and for an input that the request does not send.
    """
    artifact = _declared(root, model.rpartition(":")[0]).get(model)
    if artifact is None:
        return
    own, beside = _paths(root / artifact.path), _paths(root / artifact.beside)
    files = own if MANIFEST in own else beside
    if MANIFEST in files:
        texts = {name: files[name].read_bytes() for name in (MANIFEST, EXAMPLE) if name in files}
        require_inputs(request, read_model_files(texts).manifest)


def _find(root: Path, asked: str) -> WorkTreeModel:
    declared = _declared(root, asked.rpartition(":")[0])
    if asked in declared:
        return declared[asked]
    path = posixpath.normpath(asked.replace("\\", "/"))
    known = next((artifact for artifact in _declared(root, "").values() if artifact.path == path), None)
    if known is not None:
        return known
    if ":" not in asked and (root / path).exists():
        stem = posixpath.splitext(posixpath.basename(path))[0]
        return WorkTreeModel(path, path, sidecar_path(stem))
    names = sorted({*declared, *_declared(root, "")})
    raise InputError(
        f"{asked} is neither a model under artifacts: nor a path here",
        why=f"{posixpath.join(asked.rpartition(':')[0], 'dvc.yaml')} has: {', '.join(names) or 'none'}",
        fix=did_you_mean(asked, names) or "gitops-ml check PATH",
    )


def _declared(root: Path, folder: str) -> dict[str, WorkTreeModel]:
    file = posixpath.join(folder, "dvc.yaml")
    if not (root / file).is_file():
        return {}
    document = load((root / file).read_bytes(), file)
    artifacts = document.get("artifacts") if isinstance(document, dict) else None
    declared = {}
    for name, entry in (artifacts or {}).items() if isinstance(artifacts, dict) else ():
        path = entry.get("path") if isinstance(entry, dict) else None
        if isinstance(path, str) and "${" not in path:
            model = f"{folder}:{name}" if folder else name
            joined = posixpath.normpath(posixpath.join(folder, path))
            declared[model] = WorkTreeModel(model, joined, sidecar_path(model))
    return declared


def _files(path: Path, artifact: WorkTreeModel) -> Mapping[str, FileContent]:
    if not path.exists():
        raise VersionNotFound(
            f"{artifact.path} is not in the work tree", why="its bytes are not here", fix=f"dvc pull {artifact.path}"
        )
    return {path.name: _content(path)} if path.is_file() else _regular_files(path)


def _regular_files(folder: Path) -> dict[str, FileContent]:
    return {name: _content(path) for name, path in _paths(folder).items()}


def _content(path: Path) -> FileContent:
    """The content of a file that a training may write meanwhile. Raises `SourceUnavailable` for a full disk."""
    if path.stat().st_size <= LARGE:
        return path.read_bytes()
    with scratch_folder() as folder, writing_to(folder / path.name):
        return read_content(Path(shutil.copyfile(path, folder / path.name)))


def _paths(folder: Path) -> dict[str, Path]:
    """The files below a folder by their path in it, sorted; links of DVC's cache are files too."""
    if not folder.is_dir():
        return {}
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path for path in paths}
