"""Removes the model images that nothing speaks of any more; else every version that was ever tried fills the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitops_ml.clients.engine.building.model_images import TITLE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.generation import PROJECT, ROLE

KEPT_PER_MODEL = 5
"""How many images of one model are kept though nothing speaks of them: a version that is tried again builds nothing."""


def prune_model_images(engine: Engine, project: str, spoken_of: Callable[[], str]) -> list[str]:
    """Remove images of a project's models, except for the newest few of each model. Returns the names of what went.

    An image that a container uses is kept, whatever its state, and so is one that `spoken_of` names.

    Args:
        spoken_of: gives text with the IDs or the names of images that may be needed again. Called if anything is old.
    """
    # Those of applications that models are embedded in have no title: the newest few of the project are kept.
    by_model: dict[str, list[dict[str, Any]]] = {"": engine.list_images({PROJECT: project, ROLE: "application"})}
    for image in engine.list_images({PROJECT: project, ROLE: "model"}):
        by_model.setdefault((image["Labels"] or {}).get(TITLE, ""), []).append(image)
    crowded = [images for images in by_model.values() if len(images) > KEPT_PER_MODEL]
    if not crowded:
        return []
    kept = spoken_of() + " ".join(str(container["ImageID"]) for container in engine.list_containers({}))
    removed = []
    for images in crowded:
        unneeded = [i for i in images if not any(name in kept for name in (i["Id"], *(i["RepoTags"] or ())))]
        # Not "Created": a model image has its runtime's, so that equal content gives an equal ID.
        unneeded.sort(key=lambda image: _named_at(engine, str(image["Id"])), reverse=True)
        for image in unneeded[KEPT_PER_MODEL:]:
            if engine.remove_image(image["Id"], force=True):
                removed.append(" ".join(image["RepoTags"] or (image["Id"],)))
    return removed


def _named_at(engine: Engine, image: str) -> str:
    """When an image got its name, which is when it was made; engines write it in a form that sorts."""
    inspected = engine.inspect_image(image)
    return str(((inspected or {}).get("Metadata") or {}).get("LastTagTime") or "")
