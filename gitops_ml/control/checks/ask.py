"""Asking model servers from inside the environment's network, over the engine's API alone.

The gateway asks whether they are ready, and for one answer; a probe asks for more, and for what is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gitops_ml.artifacts.manifest import Manifest, parse_manifest
from gitops_ml.clients.engine.model_images import probe_image
from gitops_ml.clients.gateway.probe import ProbeJob, ProbePlace, run_probe
from gitops_ml.clients.gateway.readiness import LEFT_FOR_PROBE, ask_ready
from gitops_ml.control.session import Session
from gitops_ml.core.generation import Generation
from gitops_ml.core.observed import Container
from gitops_ml.errors import GitopsError, InputError

if TYPE_CHECKING:
    from gitops_ml.core.verification.answers import Answers, NoAnswer

HOLDOUT_SECONDS = 300.0


def ask(
    session: Session,
    generation: Generation,
    targets: Mapping[str, tuple[Container, Generation]],
    *,
    example: dict[str, Any] | None,
    bodies: list[dict[str, Any]],
    go_on: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """What is found out of these targets, by the name that each has here: see docs/serving.md.

    `generation` is the one that is judged: when a container of it ends, waiting is over. `go_on` is called again and
    again meanwhile (the session's own if None); what it raises ends the waiting. Raises `Temporary` for trouble that is
    not the targets'.
    """
    asked = [_target(name, container, of) for name, (container, of) in targets.items()]
    watch = [container.id for container, of in targets.values() if of.fingerprint == generation.fingerprint]
    go_on = go_on or session.go_on
    session.check()
    started = time.monotonic()
    if not bodies and session.gateway:
        patience = generation.start_timeout - LEFT_FOR_PROBE
        ready = ask_ready(
            session.engine, session.gateway, asked, example=example, patience=patience, watch=watch, go_on=go_on
        )
        if ready is not None:
            return {"targets": ready}
    left = max(generation.start_timeout - (time.monotonic() - started), min(generation.start_timeout, LEFT_FOR_PROBE))
    image = probe_image(session.engine, session.base)
    place = ProbePlace(project=session.project, environment=session.environment, image=image)
    job = ProbeJob(
        targets=asked,
        seconds=left + (HOLDOUT_SECONDS if bodies else 0.0),
        ready_seconds=left,
        example=example,
        bodies=bodies,
    )
    return {"targets": run_probe(session.engine, place, job, watch=watch, go_on=go_on).targets}


def _target(name: str, container: Container, generation: Generation) -> dict[str, Any]:
    target: dict[str, Any] = {"name": name, "url": f"http://{container.alias}:{generation.port}"}
    if generation.pattern == "image":
        return target | {"health": generation.health}
    expect = {"version": generation.version, "digest": generation.digest}
    return target | {"model": generation.deployment, "expect": expect}


def manifest_of(session: Session, generation: Generation | None) -> Manifest | None:
    """The manifest of a generation's model; None where it has none that can be read."""
    if generation is None or generation.pattern != "service":
        return None
    try:
        return parse_manifest(session.models.artifact(generation)["manifest.json"])
    except (GitopsError, KeyError):
        return None


def answers_in(target: Mapping[str, Any], manifest: Manifest | None) -> Answers | NoAnswer:
    """One target's answers to all rows, or why there are none."""
    from gitops_ml.core.verification.answers import NoAnswer, answers_of

    if manifest is None:
        return NoAnswer("its manifest cannot be read")
    if target.get("error"):
        return NoAnswer(str(target["error"]), refused=bool(target.get("refused")))
    try:
        return answers_of(target.get("outputs") or [], manifest)
    except InputError as error:
        return NoAnswer(str(error).split("\n")[0], refused=True)
