"""Checks an artifact as it lies in the work tree: its texts here, and its model in a container."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST
from gitops_ml.clients.artifacts.servable import text_mistakes
from gitops_ml.clients.artifacts.sidecar import require_apart, sidecar_path
from gitops_ml.clients.engine.building.model_check import checked_requirements
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.inspection import inspect_model
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.errors import GitopsError, InputError, ModelRejected, VersionNotFound
from gitops_ml.suggest import did_you_mean


class Artifact(NamedTuple):
    """A model in the work tree: how it is called, its path, and the folder of the files beside it."""

    model: str
    path: str
    beside: str


class Checked(NamedTuple):
    """What is wrong with an artifact, all of it; notes; whether its model was loaded."""

    artifact: Artifact
    mistakes: Sequence[GitopsError]
    notes: Sequence[str] = ()
    loaded: bool = False


def find_artifacts(root: Path, asked: Sequence[str]) -> list[Artifact]:
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


def check(root: Path, artifact: Artifact, connect: Callable[[], Engine] | None) -> Checked:
    """Check one artifact.

    Args:
        connect: gives the engine whose container loads the model; None checks only what needs no engine.

    Raises `EngineUnavailable` and `EngineFailed`.
    """
    try:
        own = _files(root / artifact.path, artifact)
        beside = _regular_files(root / artifact.beside) if MANIFEST not in own else {}
        require_apart(own.keys(), beside.keys())
    except GitopsError as error:
        return Checked(artifact, [error])
    files = {**own, **beside}
    mistakes: list[GitopsError] = list(text_mistakes(artifact.path, files.keys(), files, artifact.beside))
    try:
        requirements = checked_requirements(artifact.path, files)
    except ModelRejected as error:
        # What is wrong with the texts is known already, apart from what only the model's file shows.
        return Checked(artifact, mistakes or [error])
    if connect is None or EXAMPLE not in files:
        return Checked(artifact, mistakes)
    # The manifest can be read, so the model can be compared with it, whatever else is wrong.
    inspection = inspect_model(connect(), requirements, files, {"do": "check", "answer": not mistakes})
    return Checked(artifact, [*mistakes, *inspection.errors], inspection.notes, loaded=True)


def _find(root: Path, asked: str) -> Artifact:
    declared = _declared(root, asked.rpartition(":")[0])
    if asked in declared:
        return declared[asked]
    path = posixpath.normpath(asked.replace("\\", "/"))
    known = next((artifact for artifact in _declared(root, "").values() if artifact.path == path), None)
    if known is not None:
        return known
    if ":" not in asked and (root / path).exists():
        stem = posixpath.splitext(posixpath.basename(path))[0]
        return Artifact(path, path, sidecar_path(stem))
    names = sorted({*declared, *_declared(root, "")})
    raise InputError(
        f"{asked} is neither a model under artifacts: nor a path here",
        why=f"{posixpath.join(asked.rpartition(':')[0], 'dvc.yaml')} has: {', '.join(names) or 'none'}",
        fix=did_you_mean(asked, names) or "gitops-ml check PATH",
    )


def _declared(root: Path, folder: str) -> dict[str, Artifact]:
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
            declared[model] = Artifact(model, joined, sidecar_path(model))
    return declared


def _files(path: Path, artifact: Artifact) -> Mapping[str, bytes]:
    if not path.exists():
        raise VersionNotFound(
            f"{artifact.path} is not in the work tree", why="its bytes are not here", fix=f"dvc pull {artifact.path}"
        )
    return {path.name: path.read_bytes()} if path.is_file() else _regular_files(path)


def _regular_files(folder: Path) -> dict[str, bytes]:
    if not folder.is_dir():
        return {}
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
