"""Removes the images of a project's models that no journal, record or container speaks of."""

from __future__ import annotations

import logging

import msgspec

from gitops_ml.clients.engine.building.image_pruning import prune_model_images
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files import records
from gitops_ml.clients.files.environments import environment_names, read_environment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.view import View
from gitops_ml.core.journal.state import EnvironmentState

_log = logging.getLogger("gitops_ml")


def remove_old_images(repo: Repository, engine: Engine, view: View, state: EnvironmentState) -> list[str]:
    """Remove old images, and return their names. What goes wrong stops nothing else, and is logged."""
    files = view.source.files

    def spoken_of() -> str:
        declared = [read_environment(repo, files.commit, name) for name in environment_names(repo, files.commit)]
        hosts = [host for environment in declared for host in environment.on_each_host()]
        kept = [records.read_records(repo, host) for host in hosts]
        return msgspec.json.encode([state, kept]).decode()

    try:
        return prune_model_images(engine, files.project, spoken_of)
    except Exception as error:
        _log.warning("%s: old images are not removed", files.name, exc_info=error)
        return []
