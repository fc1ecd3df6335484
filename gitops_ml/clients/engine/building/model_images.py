"""The images that models run in. An image that the engine lacks is pulled or built there: no registry is needed.

A runtime image holds a model's own locked requirements and our server; all models with the same requirements share it.
A model image adds the artifact in one layer, to a runtime image or to an application's. The name of each says what is
in it, so a host that has it builds nothing.
"""

from __future__ import annotations

import math
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Protocol

from gitops_ml.artifacts.content import FileContent
from gitops_ml.clients import background
from gitops_ml.clients.engine.building.application_images import ensure_application
from gitops_ml.clients.engine.building.base_images import PYTHON, base_identity, ensure_base
from gitops_ml.clients.engine.building.build_lock import build_lock
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.declaration.application import Application
from gitops_ml.core.generation import LABEL, PROJECT, ROLE, Generation

BASE_IMAGE = PYTHON.name
DIGEST = LABEL + "digest"
_OCI = "org.opencontainers.image."
TITLE = _OCI + "title"
IMAGE_VERSION = _OCI + "version"
_STEP_SECONDS = 3600.0
"""How long a build may take before its steps count as left behind."""


def find_runtime(engine: Engine, requirements: bytes, base: str = BASE_IMAGE) -> str | None:
    """The ID of the runtime image of these requirements; None where the engine lacks the image or its base."""
    base_id = base_identity(engine, base)
    return engine.image_id(_runtime_tag(requirements, base_id)) if base_id else None


def ensure_runtime(engine: Engine, requirements: bytes, base: str = BASE_IMAGE) -> tuple[str, str]:
    """Have the runtime image of these hash-locked requirements, and return its name and ID. Raises `EngineFailed`.

    Args:
        requirements: a requirements file that `requirements.read_lock` accepts.
    """
    base_id = base_identity(engine, base) or base_identity(engine, ensure_base(engine, base)) or base
    tag = _runtime_tag(requirements, base_id)
    image = engine.image_id(tag)
    if image:
        return tag, image
    with build_lock(engine, tag):
        image = engine.image_id(tag)  # another thread may have built it meanwhile
        if image:
            return tag, image
        labels = {
            ROLE: "runtime",
            TITLE: "gitops-ml runtime",
            _OCI + "base.name": base,
            _OCI + "base.digest": base_id,
        }
        return tag, _build_runtime(engine, requirements, base, tag, labels)


def _runtime_tag(requirements: bytes, base_id: str) -> str:
    # Packs our own sources: only a pass that lacks an image needs that.
    from gitops_ml.serving.building.context import runtime_key

    return f"gitops-ml/runtime:{runtime_key(requirements, base_id)[:16]}"


def _build_runtime(engine: Engine, requirements: bytes, base: str, tag: str, labels: Mapping[str, str]) -> str:
    """Build a runtime image in three steps; the images of the first two are removed, whatever happens."""
    from gitops_ml.serving.building.context import build_args, download_context, install_context, runtime_context

    _remove_old_steps(engine)
    # Random: another process may build the same image, and must not lose its steps to us.
    step = f"gitops-ml/build:{secrets.token_hex(8)}"
    wheels, installed = f"{step}-wheels", f"{step}-installed"
    try:
        engine.build(download_context(requirements, base), wheels, buildargs=build_args(), network="default")
        engine.build(install_context(wheels), installed)
        return engine.build(runtime_context(base, installed), tag, labels=labels)
    finally:
        for image in (installed, wheels):
            engine.remove_image(image)


def _remove_old_steps(engine: Engine) -> None:
    """Remove what killed builds have left: the images hold wheels, and the credentials of an index."""
    steps = engine.list_images({ROLE: "build"})
    if steps:
        before = engine.info().now.timestamp() - _STEP_SECONDS
        for image in steps:
            if image["Created"] < before:
                engine.remove_image(image["Id"], force=True)


def ensure_model_image(
    engine: Engine,
    generation: Generation,
    files: Mapping[str, FileContent],
    build_context: Callable[[Application], bytes] = lambda _: b"",
    *,
    project: str,
    base: str = BASE_IMAGE,
) -> str:
    """Have the image of a generation's model, and return its ID.

    Args:
        files: the model's artifact, by path in it.
        build_context: see `ensure_application`, for a model that is embedded.
        project: whose image it is; removing a project removes its images.

    Raises `ModelRejected` when a file of the artifact cannot be used, and `EngineFailed` when the build fails.
    """
    image = engine.inspect_image(generation.image)
    if image and (image["Config"].get("Labels") or {}).get(DIGEST) == generation.digest:
        return str(image["Id"])
    # Packs our own sources: only a pass that lacks an image needs that.
    from gitops_ml.clients.engine.building.image_requirements import checked_requirements
    from gitops_ml.serving.building.model_layer import identity_file, model_archive, model_context

    application = generation.application
    if application is not None:
        below, below_id = ensure_application(engine, application, build_context, project=project)
        files = {**files, **identity_file(generation.model, generation.version, generation.digest)}
    else:
        requirements = checked_requirements(f"{generation.model} {generation.version}", files)
        below, below_id = ensure_runtime(engine, requirements, base)
    labels = {
        PROJECT: project,
        ROLE: "model",
        DIGEST: generation.digest,
        TITLE: generation.model,
        IMAGE_VERSION: generation.version,
        _OCI + "revision": generation.revision,
        _OCI + "base.name": below,
        _OCI + "base.digest": below_id,
    }
    content = sorted(files.items())
    if application is not None:
        # A build keeps the folders above the model's as the application has them; a layer by hand would replace them.
        return engine.build(model_context(content, below_id, generation.model_path), generation.image, labels=labels)
    runtime_image = engine.inspect_image(below_id)
    if runtime_image and not engine.info().containerd_store:
        return engine.load(model_archive(content, runtime_image, generation.image, labels), generation.image)
    return engine.build(model_context(content, below), generation.image, labels=labels)


class ImageSources(Protocol):
    """What images are made of."""

    def artifact(self, generation: Generation) -> Mapping[str, FileContent]:
        """The files of a generation's model, by their path in it."""

    def build_context(self, application: Application) -> bytes:
        """The tar that the application of an embedded model is built from."""


class Builds:
    """The model images that are being made, each once, while the pass goes on.

    A build begins once the environment's lock is held, so that who waits for the lock begins none.

    Args:
        sources: gives what a generation's image is made of.
        project: whose images they are.
    """

    def __init__(self, engine: Engine, sources: ImageSources, project: str, base: str) -> None:
        self._engine = engine
        self._project = project
        self._sources = sources
        self._base = base
        self._begun: dict[str, Future[str]] = {}
        self._beginning = threading.Lock()

    @property
    def any_begun(self) -> bool:
        """Whether an image was wanted."""
        return bool(self._begun)

    def begin(self, generation: Generation) -> Future[str]:
        """Begin to make the image of a generation's model, unless that has begun."""
        with self._beginning:
            if generation.image not in self._begun:
                # A pass that ends early, for example because the lock is taken, does not wait for a build.
                self._begun[generation.image] = background.begin(lambda: self._make(generation))
            return self._begun[generation.image]

    def image(self, generation: Generation, go_on: Callable[[], None] = lambda: None) -> str:
        """Wait for a generation's image, and return its ID.

        Args:
            go_on: called again and again; an exception of it ends the waiting.

        Raises as `ensure_model_image` and as `ImageSources.artifact`.
        """
        return background.result_within(self.begin(generation), math.inf, go_on)

    def _make(self, generation: Generation) -> str:
        return ensure_model_image(
            self._engine,
            generation,
            self._sources.artifact(generation),
            self._sources.build_context,
            project=self._project,
            base=self._base,
        )


def probe_image(engine: Engine, base: str = BASE_IMAGE) -> str:
    """Have the runtime image without a model's packages, and return its ID.

    Never that of a model: a package of it can run code in each Python that starts beside it (a `.pth` file), and would
    then answer for the other models that the probe judges.
    """
    return ensure_runtime(engine, b"", base)[1]
