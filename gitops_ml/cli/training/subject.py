"""What `trace` begins with: the generation that serves, or what a name stands for.

Apart from the command, so that `gitops-ml --help` imports none of what it needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from gitops_ml.cli import render
from gitops_ml.clients.artifacts import resolution
from gitops_ml.clients.engine.building.model_images import IMAGE_VERSION, TITLE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.files.environments import (
    EnvironmentFiles,
    declared_environments,
    full_names,
    read_environment,
)
from gitops_ml.clients.files.records import read_records
from gitops_ml.clients.gateway.access_log import find_answer
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.target import EnvironmentTarget
from gitops_ml.control.environment.view import Options, View
from gitops_ml.core.generation import DEPLOYMENT, ENVIRONMENT, GENERATION, PROJECT, Generation
from gitops_ml.core.records.record import Record, RecordedAttempt, RecordedGeneration
from gitops_ml.errors import EngineFailed, EngineMismatch, GitopsError, InputError, Temporary
from gitops_ml.retraining.provenance import Subject

Start = tuple[Subject, Record | None]
"""A subject, with the record of its deployment."""


def find_serving(clone: Repository, environment: str, deployment: str, live: bool) -> Start:
    """Find what serves, according to the host if it answers, else to the record.

    Args:
        live: whether the host is asked.

    Raises:
        InputError: nothing serves.
    """
    place = _read(clone, clone.fetch(), environment, live)
    record = place.records.get(deployment)
    serving = place.view.state.of(deployment).serving if place.view else None
    if serving is not None:
        return _of_generation(environment, serving), record
    if record is None or record.serving is None:
        declared = ", ".join(sorted(place.files.deployments)) or "nothing"
        raise InputError(
            f"nothing serves as {environment}/{deployment}",
            why=f"neither the host nor a record has it; declared there: {declared}",
            fix=f"gitops-ml sync {environment}",
        )
    return recorded_subject(environment, deployment, place.model_of(deployment), record.serving), record


def find_named(clone: Repository, name: str, live: bool) -> Start:
    """Find what a name stands for, in all environments.

    Args:
        name: MODEL@VERSION; or a container, an image, a generation, or the X-Request-Id of a request that was answered.

    Raises `InputError` when it stands for nothing, and `VersionError` when there is no such version.
    """
    tip = clone.fetch()
    model, _, version = name.rpartition("@")
    if model and not version.startswith("sha256:"):
        return _of_version(clone, model, version), None
    declared_names = declared_environments(clone, tip)
    environments = full_names(clone, tip, declared_names)
    if name in declared_names:
        declared = sorted(read_environment(clone, tip, name).deployments)
        raise InputError(
            f"{name} is an environment",
            why=f"a trace is of one deployment; declared there: {', '.join(declared) or 'none'}",
            fix=f"gitops-ml trace {name} {declared[0] if declared else 'DEPLOYMENT'}",
        )
    labelled: Subject | None = None
    for environment in environments:
        try:
            place = _read(clone, tip, environment, live)
        except GitopsError as error:
            render.progress(f"{environment} is left out: {error.what}")
            continue
        subjects, asked = list(place.subjects()), _Asked()
        found = next((each for each in subjects if name in (each.generation, each.image)), None)
        if found is None and place.view:
            asked = _ask_engine(place, name)
            found = next(filter(asked.means, subjects), None)
        if found:
            return found, place.records.get(found.deployment or "")
        labelled = labelled or (asked.version and _of_version(clone, *asked.version))
    if labelled:
        return labelled, None
    raise InputError(
        f"`{name}` is not known",
        why="it is no MODEL@VERSION, and no container, image, generation or X-Request-Id of the environments "
        + (", ".join(environments) or "(none)"),
        fix="gitops-ml versions",
    )


def recorded_subject(
    environment: str, deployment: str, model: str, recorded: RecordedGeneration | RecordedAttempt
) -> Subject:
    """What a record says of a generation; it does not name the model."""
    return Subject(
        model=model,
        version=recorded.version,
        digest=recorded.digest,
        environment=environment,
        deployment=deployment,
        generation=recorded.generation,
        commit=recorded.commit,
        image=recorded.image if isinstance(recorded, RecordedGeneration) else None,
    )


class _Place(NamedTuple):
    """One environment: its files, its records, and its host if it answered."""

    files: EnvironmentFiles
    records: dict[str, Record]
    view: View | None
    engine: Engine | None

    def model_of(self, deployment: str) -> str:
        declaration = self.files.deployments.get(deployment)
        return declaration.model if declaration else deployment

    def subjects(self) -> Iterator[Subject]:
        """The generations that are known here: what serves, then what was rolled out, the newest first."""
        for state in self.view.state.deployments.values() if self.view else ():
            attempts = [*([state.open] if state.open else []), *reversed(state.attempts)]
            for generation in (*([state.serving] if state.serving else []), *(a.generation for a in attempts)):
                yield _of_generation(self.files.full_name, generation)
        for name, record in self.records.items():
            for recorded in (record.serving, record.verified, *record.attempts):
                if recorded:
                    yield recorded_subject(self.files.full_name, name, self.model_of(name), recorded)


class _Asked(NamedTuple):
    """What an engine says of a name: a generation of a deployment, an image's ID, or its labels' model and version."""

    generation: tuple[str, str] | None = None
    image: str | None = None
    version: tuple[str, str] | None = None

    def means(self, subject: Subject) -> bool:
        same = self.generation is not None and (subject.deployment, subject.generation) == self.generation
        return same or (self.image is not None and subject.image == self.image)


def _read(clone: Repository, tip: str, environment: str, live: bool) -> _Place:
    files = read_environment(clone, tip, environment)
    records = read_records(clone, files)
    if live:
        target = EnvironmentTarget(clone, environment, render.progress)
        try:
            view = target.look(Options(), tip)
            return _Place(files, records, view, target.connection.to(files))
        except (Temporary, EngineMismatch) as error:
            render.progress(f"the host did not answer, so this is what Git's record says: {error.what}")
    return _Place(files, records, None, None)


def _ask_engine(place: _Place, name: str) -> _Asked:
    """Ask for a container, an image and a request of this name. What an engine does not take as a name is none."""
    engine, view = place.engine, place.view
    assert engine is not None and view is not None
    own = {PROJECT: place.files.project, ENVIRONMENT: place.files.name}
    with contextlib.suppress(EngineFailed):
        container = engine.inspect_container(name)
        labels = (container["Config"]["Labels"] or {}) if container else {}
        if own.items() <= labels.items() and GENERATION in labels:
            return _Asked(generation=(labels[DEPLOYMENT], labels[GENERATION]))
    with contextlib.suppress(EngineFailed):
        image = engine.inspect_image(name)
        if image:
            labels = image["Config"].get("Labels") or {}
            of_ours = labels.get(PROJECT) == place.files.project and {TITLE, IMAGE_VERSION} <= labels.keys()
            return _Asked(image=image["Id"], version=(labels[TITLE], labels[IMAGE_VERSION]) if of_ours else None)
    with contextlib.suppress(EngineFailed):
        if gateway := view.snapshot.gateway:
            return _Asked(generation=find_answer(engine, gateway.id, name))
    return _Asked()


def _of_generation(environment: str, generation: Generation) -> Subject:
    return Subject(
        model=generation.model,
        version=generation.version,
        digest=generation.digest,
        environment=environment,
        deployment=generation.deployment,
        generation=generation.fingerprint,
        commit=generation.commit,
        image=generation.image_id,
    )


def _of_version(clone: Repository, model: str, version: str) -> Subject:
    resolved = resolution.resolve_version(clone, model, version, latest=True)
    return Subject(model=model, version=resolved.version, digest=resolved.digest)
