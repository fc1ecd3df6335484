"""Asking models side by side, in containers of their own: on a scratch network, from a probe, and gone afterwards.

A model that nobody has judged yet is loaded exactly as it would be served, and nowhere else: not in this process, which
holds the credentials of whoever started it.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import Manifest, parse_manifest
from gitops_ml.clients.artifacts.holdout import Rows, requests
from gitops_ml.clients.artifacts.resolution import ResolvedVersion
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.model_images import ensure_model_image, probe_image
from gitops_ml.clients.gateway.probe import run_probe
from gitops_ml.core.generation import ALIAS, LABEL, PORT, Generation, owner_labels, replica_spec, scoped
from gitops_ml.core.verification.answers import Answers, NoAnswer, answers_of
from gitops_ml.errors import EngineFailed, GitopsError, InputError, ModelRejected

STARTED = LABEL + "panel"
ABANDONED = 3600
START_SECONDS = 120.0
ASK_SECONDS = 600.0
_MEMORY = 1024**3


class ModelUnderTest(msgspec.Struct, frozen=True, kw_only=True):
    """A model to be asked: its artifact's files, and the environment that it is served with."""

    held: ResolvedVersion
    files: Mapping[str, bytes]
    env: dict[str, str] = {}

    @property
    def manifest(self) -> Manifest:
        """Raises `ModelRejected` if it is missing or broken."""
        return parse_manifest(self.files.get("manifest.json", b""))


def ask(engine: Engine, project: str, panel: Mapping[str, ModelUnderTest], rows: Rows) -> dict[str, Answers | NoAnswer]:
    """What each model answers to all rows, by the panel's names; nothing is left on the engine but runtime images.

    Raises `EngineUnavailable` and `EngineFailed` for what is not a model's own fault.
    """
    environment = f"panel-{secrets.token_hex(4)}"
    network = scoped(project, environment)
    labels = {STARTED: str(int(time.time()))}
    _sweep(engine, project)
    made: list[str] = []
    try:
        engine.ensure_network(network, owner_labels(project, environment, "network") | labels)
        found: dict[str, Answers | NoAnswer] = {}
        for name, panelist in panel.items():
            generation = _generation(name, panelist)
            made.append(generation.image)
            found[name] = _answers(engine, project, environment, generation, panelist, rows, labels)
        return found
    finally:
        _remove(engine, engine.list_containers(owner_labels(project, environment, "")), network)
        for image in made:
            with contextlib.suppress(GitopsError):
                engine.remove_image(image)


def _generation(name: str, panelist: ModelUnderTest) -> Generation:
    held = panelist.held
    key = hashlib.sha256("\n".join((name, held.version, held.digest, secrets.token_hex(4))).encode()).hexdigest()
    return Generation(
        fingerprint=key[:12],
        deployment=name,
        model=held.model,
        version=held.version,
        digest=held.digest,
        path=held.path,
        revision=held.commit,
        commit=held.commit,
        pattern="service",
        # A name of its own: one that a rollout uses must not vanish under it.
        image=f"gitops-ml/panel:{key[:16]}",
        start_timeout=START_SECONDS,
        memory=_MEMORY,
        env=panelist.env,
    )


def _answers(
    engine: Engine,
    project: str,
    environment: str,
    generation: Generation,
    panelist: ModelUnderTest,
    rows: Rows,
    labels: dict[str, str],
) -> Answers | NoAnswer:
    try:
        manifest = panelist.manifest
        bodies = requests(rows, manifest)
    except (InputError, ModelRejected) as error:
        return NoAnswer(str(error).split("\n")[0], refused=True)
    ensure_model_image(engine, generation, panelist.files)
    spec = replica_spec(generation, project=project, environment=environment, replica=0, suffix="panel", drain=1.0)
    spec = msgspec.structs.replace(spec, labels=spec.labels | labels, restart="no")
    container = engine.create(spec)
    engine.start(container, spec.name)
    try:
        target = _ask(engine, project, environment, generation, container, spec.labels[ALIAS], bodies)
        if target.get("error"):
            return NoAnswer(str(target["error"]), refused=True)
        return answers_of(target.get("outputs") or [], manifest)
    except (InputError, ModelRejected) as error:
        return NoAnswer(str(error).split("\n")[0], refused=True)
    finally:
        engine.remove(container, force=True)


def _ask(
    engine: Engine,
    project: str,
    environment: str,
    generation: Generation,
    container: str,
    alias: str,
    bodies: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    expect = {"version": generation.version, "digest": generation.digest}
    url = f"http://{alias}:{PORT}"
    job = {
        "deadline": START_SECONDS + ASK_SECONDS,
        "ready_deadline": START_SECONDS,
        "interval": 0.05,
        "targets": [{"name": "model", "url": url, "model": generation.deployment, "expect": expect}],
        "example": None,
        "requests": "/probe/requests.json",
    }
    found = run_probe(
        engine,
        project=project,
        environment=environment,
        image=probe_image(engine),
        network=scoped(project, environment),
        job=job,
        requests=msgspec.json.encode({"bodies": bodies}),
        deadline=START_SECONDS + ASK_SECONDS + 15,
        watch=[container],
    )
    return dict(found.targets["model"])


def _sweep(engine: Engine, project: str) -> None:
    """Remove what a run that was killed has left behind, once nobody can be using it any more."""
    before = time.time() - ABANDONED
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
