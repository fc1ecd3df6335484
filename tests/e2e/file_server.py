"""An application that is no model: an image that serves files, for deployments with `pattern: image`."""

from __future__ import annotations

import io
from typing import Any

import docker

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.streams import pack
from gitops_ml.core.generation import PROJECT

_DOCKERFILE = (
    f"FROM {BASE_IMAGE}\nRUN mkdir /www && echo hello > /www/index.html\n"
    'CMD ["python3", "-m", "http.server", "8000", "--directory", "/www"]\n'
)


def serve_files(engine: docker.DockerClient, project: str) -> dict[str, Any]:
    """The key `serve:` of a deployment that answers `hello` at `/index.html`; its image is built on the engine."""
    context = io.BytesIO(pack({"Dockerfile": _DOCKERFILE.encode()}))
    labels = {PROJECT: project}
    image, _ = engine.images.build(fileobj=context, custom_context=True, labels=labels, nocache=True, rm=True)
    return {"pattern": "image", "image": str(image.id), "port": 8000, "health": "/index.html"}
