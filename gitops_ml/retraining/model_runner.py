"""Asks models for predictions, each in a container on a scratch network, which are removed afterwards.

An unverified model is loaded as it would be served, and never in this process, which holds the user's credentials.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from gitops_ml.artifacts.manifest import MANIFEST, Manifest, parse_manifest
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.engine.building.model_images import ensure_model_image, probe_image
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.probing.probe import ProbeJob, ProbePlace, run_probe
from gitops_ml.clients.rows.holdout import Rows, requests
from gitops_ml.core.declaration.application import Application
from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.generation import ALIAS, LABEL, Generation, generation_of, owner_labels, replica_spec, scoped
from gitops_ml.core.text import clean_line, first_line
from gitops_ml.core.verification.answers import Answers, NoAnswer, read_outputs
from gitops_ml.core.verification.applications import (
    exchange_of,
    read_answers,
    require_inputs,
)
from gitops_ml.core.verification.probe_job import target_in_job
from gitops_ml.errors import EngineFailed, GitopsError, InputError, ModelRejected

STARTED = LABEL + "panel"
"""Label of what a run makes: when it began, in epoch seconds."""
ABANDONED_SECONDS = 3600
"""A run that began so long ago is over; what it left behind is removed."""
START_SECONDS = 120.0
ASK_SECONDS = 600.0
_MEMORY = 1024**3


class ModelUnderTest(msgspec.Struct, frozen=True, kw_only=True):
    """A model to ask: its version, its artifact's files, and the environment variables of its server.

    `application`: the deployment of the application that holds the model, and is asked in the place of our server.
    """

    resolved: ResolvedVersion
    files: Mapping[str, bytes]
    env: dict[str, str] = {}
    application: ResolvedDeployment | None = None

    @property
    def manifest(self) -> Manifest:
        """Raises `ModelRejected` if it is missing or broken."""
        return parse_manifest(self.files.get(MANIFEST, b""))


class _ScratchRun(NamedTuple):
    """Where models are asked: a scratch environment, and the labels of what is made there.

    `build_context`: see `ensure_application`.
    """

    engine: Engine
    project: str
    environment: str
    labels: dict[str, str]
    build_context: Callable[[Application], bytes]


def ask(
    engine: Engine,
    project: str,
    models: Mapping[str, ModelUnderTest],
    rows: Rows,
    build_context: Callable[[Application], bytes] = lambda _: b"",
) -> dict[str, Answers | NoAnswer]:
    """Ask each model for all rows; its answers by the names of `models`. Images with a model do not stay on the engine.

    Args:
        build_context: see `ensure_application`.

    Raises `EngineUnavailable` and `EngineFailed` for faults that are not a model's.
    """
    environment = f"panel-{secrets.token_hex(4)}"
    network = scoped(project, environment)
    run = _ScratchRun(engine, project, environment, {STARTED: str(int(time.time()))}, build_context)
    _sweep(engine, project)
    images: list[str] = []
    try:
        engine.ensure_network(network, owner_labels(project, environment, "network") | run.labels)
        answers: dict[str, Answers | NoAnswer] = {}
        for name, model in models.items():
            generation = _generation(name, model)
            if generation.pattern != "image":
                images.append(generation.image)
            answers[name] = _answers(run, generation, model, rows)
        return answers
    finally:
        _remove(engine, engine.list_containers(owner_labels(project, environment, "")), network)
        for image in images:
            with contextlib.suppress(GitopsError):
                engine.remove_image(image)


def _generation(name: str, model: ModelUnderTest) -> Generation:
    resolved = model.resolved
    key = hashlib.sha256(
        "\n".join((name, resolved.version, resolved.digest, secrets.token_hex(4))).encode()
    ).hexdigest()
    # Not the name that a rollout uses, since this image is removed afterwards.
    image = f"gitops-ml/panel:{key[:16]}"
    if model.application is not None:
        made = _application(name, model.application)
        return msgspec.structs.replace(
            made, fingerprint=key[:12], image=made.image if made.pattern == "image" else image
        )
    return Generation(
        fingerprint=key[:12],
        deployment=name,
        model=resolved.model,
        version=resolved.version,
        digest=resolved.digest,
        path=resolved.path,
        revision=resolved.commit,
        commit=resolved.commit,
        pattern="service",
        image=image,
        start_timeout=START_SECONDS,
        memory=_MEMORY,
        env=model.env,
    )


def _application(name: str, deployment: ResolvedDeployment) -> Generation:
    """The generation that a deployment asks for, without secrets and GPUs: the engine's host may have neither."""
    resolved = msgspec.structs.replace(deployment, name=name)
    made = generation_of(resolved, project="", commit=deployment.revision, base="", serving_version=0)
    return msgspec.structs.replace(made, secrets={}, gpus=0, start_timeout=START_SECONDS)


def _image(run: _ScratchRun, generation: Generation, files: Mapping[str, bytes]) -> str:
    if generation.pattern == "image":
        return run.engine.image_id(generation.image) or run.engine.pull(generation.image)
    return ensure_model_image(run.engine, generation, files, run.build_context, project=run.project)


def _answers(run: _ScratchRun, generation: Generation, model: ModelUnderTest, rows: Rows) -> Answers | NoAnswer:
    try:
        manifest = model.manifest
        bodies = requests(rows, manifest)
        mapping, exchange = generation.mapping, None
        if mapping is not None:
            require_inputs(mapping.request, manifest)
            exchange = exchange_of(mapping.request, None, bodies)
        generation = msgspec.structs.replace(generation, image_id=_image(run, generation, model.files))
    except (InputError, ModelRejected) as error:
        return NoAnswer(first_line(error), refused=True)
    spec = replica_spec(
        generation, project=run.project, environment=run.environment, replica=0, suffix="panel", drain=1.0
    )
    spec = msgspec.structs.replace(spec, labels=spec.labels | run.labels, restart="no")
    container = run.engine.create(spec)
    run.engine.start(container, spec.name)
    try:
        target = target_in_job("model", spec.labels[ALIAS], generation, exchange)
        result = _ask(run, container, target, [] if exchange else bodies)
        if mapping is not None and exchange is not None:
            result = read_answers(mapping.request, mapping.response, result, exchange)
        if result.get("error"):
            return NoAnswer(clean_line(str(result["error"])), refused=True)
        return read_outputs(result.get("outputs") or (), result.get("row_counts") or (), manifest)
    except (InputError, ModelRejected) as error:
        return NoAnswer(first_line(error), refused=True)
    finally:
        run.engine.remove(container, force=True)


def _ask(run: _ScratchRun, container: str, target: dict[str, Any], bodies: Sequence[dict[str, Any]]) -> dict[str, Any]:
    job = ProbeJob(
        targets=[target],
        seconds=START_SECONDS + ASK_SECONDS,
        ready_seconds=START_SECONDS,
        interval=0.05,
        bodies=bodies,
    )
    place = ProbePlace(project=run.project, environment=run.environment, image=probe_image(run.engine))
    return dict(run_probe(run.engine, place, job, watch=[container]).targets["model"])


def _sweep(engine: Engine, project: str) -> None:
    """Remove what killed runs left behind, once it is too old to be in use."""
    before = time.time() - ABANDONED_SECONDS
    for network in engine.list_networks({LABEL + "project": project, STARTED: ""}):
        if float((network["Labels"] or {}).get(STARTED) or 0) < before:
            name = str(network["Name"])
            inside = engine.list_containers({LABEL + "project": project, LABEL + "environment": name.split(".", 1)[1]})
            _remove(engine, inside, name)


def _remove(engine: Engine, containers: Sequence[Mapping[str, Any]], network: str) -> None:
    for container in containers:
        engine.remove(str(container["Id"]), force=True)
    with contextlib.suppress(EngineFailed):
        engine.remove_network(network)
