"""What is wrong with a model's files is said before an image is built of them."""

from __future__ import annotations

from collections.abc import Mapping

from gitops_ml.artifacts.content import FileContent
from gitops_ml.artifacts.model_files import REQUIREMENTS, read_model_files
from gitops_ml.artifacts.trained_with import scikit_learn_versions
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.building.requirements import Pin, read_lock, with_server

_SCIKIT_LEARN = "scikit-learn"


def checked_requirements(model: str, files: Mapping[str, FileContent]) -> bytes:
    """The requirements of a model's runtime image: the model's own lock, and what the server needs beside it.

    Args:
        model: how messages name the model.
        files: the model's artifact, by path.

    Raises `ModelRejected`.
    """
    manifest = read_model_files(files).manifest
    if REQUIREMENTS not in files:
        raise ModelRejected(
            f"{model} holds no {REQUIREMENTS}",
            why="a model is served with the packages that trained it",
            fix="let the train stage write it beside the model, locked with hashes",
        )
    pins = read_lock(bytes(files[REQUIREMENTS]))
    if manifest.file and manifest.file in files:
        _require_same_scikit_learn(model, scikit_learn_versions(files[manifest.file]), pins)
    return with_server(pins)


def _require_same_scikit_learn(model: str, trained: list[str], pins: list[Pin]) -> None:
    served = sorted({pin.version for pin in pins if pin.name == _SCIKIT_LEARN and pin.applies})
    if trained and trained != served:
        raise ModelRejected(
            f"{model} was trained with scikit-learn {', '.join(trained)}, and its {REQUIREMENTS} has "
            f"{', '.join(served) or 'none'}",
            why="scikit-learn does not promise that a model gives the same answers in another version",
            fix=f"lock scikit-learn=={trained[-1]} in {REQUIREMENTS}, or train the model again",
        )
