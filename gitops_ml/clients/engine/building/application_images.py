"""The images of applications that models are embedded in: pulled by digest, or built from a commit's files.

What a commit's Dockerfile runs is the team's own, as what its image does is. It has the network of any build.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from gitops_ml.clients.engine.building.build_lock import build_lock
from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.declaration.application import Application
from gitops_ml.core.generation import PROJECT, ROLE


def ensure_application(
    engine: Engine, application: Application, build_context: Callable[[Application], bytes], *, project: str
) -> tuple[str, str]:
    """Have the image of an application, and return its name and ID. Raises `EngineFailed`.

    Args:
        build_context: gives the tar that the application is built from; not called where the engine has the image.
        project: whose image it is, if it is built.
    """
    if application.image:
        return application.image, engine.image_id(application.image) or engine.pull(application.image)
    key = hashlib.sha256(f"{project}\n{application.content}".encode()).hexdigest()
    tag = f"gitops-ml/application:{key[:16]}"
    image = engine.image_id(tag)
    if image:
        return tag, image
    # Packs our own sources: only a pass that lacks an image needs that.
    from gitops_ml.serving.building.context import proxy_args

    with build_lock(engine, tag):
        image = engine.image_id(tag) or engine.build(
            build_context(application),
            tag,
            dockerfile=application.dockerfile,
            labels={PROJECT: project, ROLE: "application"},
            buildargs=proxy_args(),
            network="default",
        )
    return tag, image
