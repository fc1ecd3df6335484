"""The generation that `trace` starts from: what the host serves, or what Git's record says.

Apart from the command, so that `gitops-ml --help` imports none of what it needs.
"""

from __future__ import annotations

from gitops_ml.cli import render
from gitops_ml.clients.files.environments import read_environment
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.target import Target
from gitops_ml.control.environment.view import Options
from gitops_ml.core.records.record import Record, RecordedGeneration
from gitops_ml.errors import EngineMismatch, InputError, Temporary
from gitops_ml.retraining.provenance import Serving


def find_serving(clone: Repository, environment: str, deployment: str, live: bool) -> tuple[Serving, Record | None]:
    """Find what serves, according to the host if it answers, else to the record.

    Args:
        live: whether the host is asked.

    Raises:
        InputError: nothing serves.
    """
    tip = clone.fetch()
    declared = read_environment(clone, tip, environment)
    record = read_records(clone, declared).get(deployment)
    if live:
        try:
            state = Target(clone, environment, render.progress).look(Options(), tip).state
        except (Temporary, EngineMismatch) as error:
            render.progress(f"the host did not answer, so this is what Git's record says: {error.what}")
        else:
            serving = state.of(deployment).serving
            if serving is not None:
                return Serving(
                    model=serving.model,
                    version=serving.version,
                    digest=serving.digest,
                    generation=serving.fingerprint,
                    commit=serving.commit,
                    image=serving.image_id,
                ), record
    if record is None or record.serving is None:
        names = ", ".join(sorted(declared.deployments)) or "nothing"
        raise InputError(
            f"nothing serves as {environment}/{deployment}",
            why=f"neither the host nor a record has it; declared there: {names}",
            fix=f"gitops-ml sync {environment}",
        )
    declaration = declared.deployments.get(deployment)
    return recorded_serving(declaration.model if declaration else deployment, record.serving), record


def recorded_serving(model: str, recorded: RecordedGeneration) -> Serving:
    """What serves according to a record, which does not name the model."""
    return Serving(
        model=model,
        version=recorded.version,
        digest=recorded.digest,
        generation=recorded.generation,
        commit=recorded.commit,
        image=recorded.image,
    )
