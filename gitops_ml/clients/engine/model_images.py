"""The images that models run in: had when the engine has them, else pulled or built there. No registry is needed.

A runtime image holds a model's own locked requirements and our server, and is shared by all models with the same
requirements; a model image adds the artifact in one layer. Both are found by a name that says what is in them, so a
host that has them builds nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait

from gitops_ml.clients import background
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.generation import LABEL, ROLE, Generation
from gitops_ml.errors import EngineFailed, ModelRejected
from gitops_ml.serving import SERVING_SOURCE

BASE_IMAGE = "python:3.11-slim-bookworm"
REQUIREMENTS = "requirements.txt"
SERVING = LABEL + "serving"
DIGEST = LABEL + "digest"
_OCI = "org.opencontainers.image."
_LOOK_EVERY = 0.25
_building = threading.Lock()


def ensure_base(engine: Engine, reference: str = BASE_IMAGE) -> str:
    """Have an image that we do not build, and return its ID. Raises `EngineFailed` when it cannot be pulled."""
    found = engine.image_id(reference)
    if found:
        return found
    try:
        return engine.pull(reference)
    except EngineFailed as error:
        raise EngineFailed(
            f"image {reference} is not on the engine and could not be pulled",
            why=error.why,
            fix=f"`make setup` in a clone of gitops-ml makes it, or `docker pull {reference}` where it can be reached",
        ) from error


def ensure_runtime(engine: Engine, requirements: bytes, base: str = BASE_IMAGE) -> tuple[str, str]:
    """Have the runtime image of these hash-locked requirements, and return its name and ID.

    Two builds of one runtime would do the same work twice, so one waits for the other. Raises `EngineFailed`.
    """
    from gitops_ml.serving.context import build_args, runtime_context, runtime_key

    base_id = ensure_base(engine, base)
    tag = f"gitops-ml/runtime:{runtime_key(requirements, base_id)[:16]}"
    with _building:
        found = engine.image_id(tag)
        if found:
            return tag, found
        labels = {
            ROLE: "runtime",
            SERVING: SERVING_SOURCE[:16],
            _OCI + "title": "gitops-ml runtime",
            _OCI + "base.name": base,
            _OCI + "base.digest": base_id,
        }
        return tag, engine.build(runtime_context(requirements, base), tag, labels=labels, buildargs=build_args())


def ensure_model_image(
    engine: Engine, generation: Generation, files: Mapping[str, bytes], *, base: str = BASE_IMAGE
) -> str:
    """Have the image of a generation's model, and return its ID.

    `files` is the model's artifact, by path below /model. Raises `ModelRejected` when it brings no requirements, and
    `EngineFailed` when it cannot be built.
    """
    found = engine.inspect_image(generation.image)
    if found and (found["Config"].get("Labels") or {}).get(DIGEST) == generation.digest:
        return str(found["Id"])
    if REQUIREMENTS not in files:
        raise ModelRejected(
            f"{generation.model} {generation.version} holds no {REQUIREMENTS}",
            why="what it was trained with is what it has to be served with",
            fix="let the train stage write it beside the model, locked with hashes",
        )
    from gitops_ml.serving.context import model_archive, model_context

    runtime, runtime_id = ensure_runtime(engine, files[REQUIREMENTS], base)
    labels = {
        ROLE: "model",
        DIGEST: generation.digest,
        _OCI + "title": generation.model,
        _OCI + "version": generation.version,
        _OCI + "revision": generation.revision,
        _OCI + "base.name": runtime,
        _OCI + "base.digest": runtime_id,
    }
    content = sorted(files.items())
    base_image = engine.inspect_image(runtime_id)
    if base_image:
        try:
            return engine.load(model_archive(content, base_image, generation.image, labels), generation.image)
        except EngineFailed:
            pass  # an engine that keeps images in another form wants every layer; a build says what else is wrong
    return engine.build(model_context(content, runtime), generation.image, labels=labels)


class Builds:
    """Model images under way, each made once and beside whatever else is done.

    An image belongs to no environment, so making one needs no lock: it begins before the lock is taken.

    Args:
        artifact: gives the files of a generation's model.
    """

    def __init__(self, engine: Engine, artifact: Callable[[Generation], Mapping[str, bytes]], base: str) -> None:
        self._engine = engine
        self._artifact = artifact
        self._base = base
        self._begun: dict[str, Future[str]] = {}
        self._beginning = threading.Lock()

    def begin(self, generation: Generation) -> Future[str]:
        """Make the image of a generation's model in a thread of its own, unless that is under way."""
        with self._beginning:
            if generation.image not in self._begun:
                # A pass that ends early, say because the lock is held, does not wait for a build.
                self._begun[generation.image] = background.begin(lambda: self._make(generation))
            return self._begun[generation.image]

    def image(self, generation: Generation, go_on: Callable[[], None] = lambda: None) -> str:
        """Its ID, once it is there. Raises as `ensure_model_image`, and what giving its files raises.

        `go_on` is called again and again; what it raises ends the waiting.
        """
        making = self.begin(generation)
        while not wait((making,), timeout=_LOOK_EVERY).done:
            go_on()
        return making.result()

    def _make(self, generation: Generation) -> str:
        return ensure_model_image(self._engine, generation, self._artifact(generation), base=self._base)


def probe_image(engine: Engine, base: str = BASE_IMAGE) -> str:
    """Have a runtime image of this version of ours, and return its ID; the probe needs nothing but our own code."""
    found = engine.list_images({ROLE: "runtime", SERVING: SERVING_SOURCE[:16]})
    if found:
        return str(max(found, key=lambda image: int(image["Created"]))["Id"])
    return ensure_runtime(engine, b"", base)[1]
