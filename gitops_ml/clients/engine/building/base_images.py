"""The two images that others make: the base of all models, and the gateway's. Which ones is decided in this file.

An engine's own ID of an image differs from engine to engine, and a tag moves. So each is pinned by the digest that
its registry gives it. Where no registry can be reached, `make setup` makes an image from packages instead, and the hash
of its recipe identifies it. Either identity is a label of the image, which survives `docker save` and `docker load`.
"""

from __future__ import annotations

import hashlib

import msgspec

from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.streams import pack
from gitops_ml.core.generation import LABEL
from gitops_ml.errors import EngineFailed

IDENTITY = LABEL + "base"


class BaseImage(msgspec.Struct, frozen=True):
    """An image of others.

    Args:
        kind: its part of the name on an engine, and the name of its recipe in `setup/recipes`.
        official: repository and tag, for people.
        digest: what the registry calls the image of all platforms.
        recipe: SHA-256 (hex) of the recipe; a test compares it.
    """

    kind: str
    official: str
    digest: str
    recipe: str

    @property
    def name(self) -> str:
        """What the image is called on an engine: another name for another pin, so that both can be there."""
        return f"gitops-ml/base-{self.kind}:{hashlib.sha256(f'{self.digest} {self.recipe}'.encode()).hexdigest()[:12]}"

    @property
    def pinned(self) -> str:
        """The reference that is pulled."""
        return f"{self.official.rpartition(':')[0]}@{self.digest}"

    @property
    def dockerfile(self) -> str:
        """Gives the pulled image its label."""
        return f"FROM {self.pinned}\nLABEL {IDENTITY}={self.digest}\n"


PYTHON = BaseImage(
    "python",
    "python:3.11-slim-bookworm",
    "sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b",
    "50ba83b203d385d1a19d00b9d132c0fc2c2d2794b97689dab00c085a671c1a43",
)
GATEWAY = BaseImage(
    "gateway",
    "traefik:v3.7.9",
    "sha256:652929a140a32d7cafafb13c6cdfab5376cfeff800f51397b87b524501ed02a8",
    "2fe4debb9b1d0e0d8cd954ed00d1265781fb3f635494b910418723ee8697ac72",
)
BY_NAME = {image.name: image for image in (PYTHON, GATEWAY)}


def ensure_base(engine: Engine, reference: str) -> str:
    """Have an image that we do not build, and return its ID. Raises `EngineFailed` when it cannot be pulled."""
    image = engine.image_id(reference)
    if image:
        return image
    pinned = BY_NAME.get(reference)
    try:
        if pinned is None:
            return engine.pull(reference)
        engine.pull(pinned.pinned)
        return engine.build(pack({"Dockerfile": pinned.dockerfile.encode()}), reference)
    except EngineFailed as error:
        wanted = f"{pinned.official} ({pinned.digest[:19]})" if pinned else reference
        raise EngineFailed(
            f"image {wanted} is not on the engine and could not be pulled",
            why=error.why,
            fix="`make setup` in a clone of gitops-ml makes it; or let that host reach its registry",
        ) from error


def base_identity(engine: Engine, reference: str) -> str | None:
    """What an image is, whichever engine has it; an image without our label by its ID, None without the image."""
    image = engine.inspect_image(reference)
    if image is None:
        return None
    return str((image["Config"].get("Labels") or {}).get(IDENTITY) or image["Id"])
