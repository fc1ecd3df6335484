"""Checks a whole artifact of the work tree: its texts here, and its model in a container."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from gitops_ml.adoption.work_tree import WorkTreeModel, read_artifact
from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST
from gitops_ml.artifacts.model_files import REQUIREMENTS
from gitops_ml.clients.artifacts.servable import text_mistakes
from gitops_ml.clients.engine.building.image_requirements import checked_requirements
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.inspection import inspect_model
from gitops_ml.errors import GitopsError, ModelRejected


class Checked(NamedTuple):
    """What is wrong with an artifact, all of it; notes; whether its model was loaded."""

    artifact: WorkTreeModel
    mistakes: Sequence[GitopsError]
    notes: Sequence[str] = ()
    loaded: bool = False


def check(
    root: Path,
    artifact: WorkTreeModel,
    connect: Callable[[], Engine] | None,
    tell: Callable[[str], None] = lambda line: None,
) -> Checked:
    """Check one artifact.

    Args:
        connect: gives the engine whose container loads the model; None checks only what needs no engine.
        tell: takes a line of progress.

    Raises `EngineUnavailable` and `EngineFailed`.
    """
    try:
        files = read_artifact(root, artifact)
    except GitopsError as error:
        return Checked(artifact, [error])
    texts = {name: bytes(files[name]) for name in (MANIFEST, EXAMPLE, REQUIREMENTS) if name in files}
    mistakes: list[GitopsError] = list(text_mistakes(artifact.path, files.keys(), texts, artifact.beside))
    try:
        requirements = checked_requirements(artifact.path, files)
    except ModelRejected as error:
        # What is wrong with the texts is known already, apart from what only the model's file shows.
        return Checked(artifact, mistakes or [error])
    if connect is None or EXAMPLE not in files:
        return Checked(artifact, mistakes)
    # The manifest can be read, so the model can be compared with it, whatever else is wrong.
    inspection = inspect_model(connect(), requirements, files, {"do": "check", "answer": not mistakes}, tell)
    return Checked(artifact, [*mistakes, *inspection.errors], inspection.notes, loaded=True)
