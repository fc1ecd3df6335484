"""How a deployment's model reaches its users, as its declaration says under `serve:`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from gitops_ml.core.declaration.application import Build, ModelPath
from gitops_ml.core.declaration.mapping import Request, Response
from gitops_ml.core.declaration.values import DeclaredStruct, Duration, UrlPath, require_within


class Serve(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model is served.

    `service`: by our Open Inference Protocol v2 server. `publish`: by a channel, from which applications load the
    model's files while they run. `image`: by any image. Then `image` (with its digest) and
    `port` are required, and `health` is a path that answers 200 once the container is ready. `embed`: by an application
    that loads the model from `model_path`, where the engine puts it on top of the application's image: `image`, or what
    `build` says. `version_path`: a path where that application answers with the version or the digest that it has
    loaded. `request` and `response`, for `image` and `embed`: how the application is asked for predictions, so that
    `smoke`, `holdout` and `agreement` can judge its answers. `allow_pickle`: load a model that is a pickle, which can
    run code. `start_timeout`: how long a replica may take to become ready, from 1s to 1h.
    """

    pattern: Literal["service", "image", "embed", "publish"] = "service"
    allow_pickle: bool = False
    image: str | None = None
    build: Build | None = None
    model_path: ModelPath | None = None
    port: Annotated[int, Meta(ge=1, le=65535)] | None = None
    health: UrlPath | None = None
    version_path: UrlPath | None = None
    start_timeout: Duration = "60s"
    request: Request | None = None
    response: Response | None = None

    def __post_init__(self) -> None:
        require_within("start_timeout", self.start_timeout, "1s", "1h")

    @property
    def mapping(self) -> tuple[Request, Response] | None:
        """How an application is asked for predictions, and where its answers have them; None where it is not."""
        if self.by_model_server or self.request is None or self.response is None:
            return None
        return self.request, self.response

    @property
    def by_model_server(self) -> bool:
        """Whether our model server loads the model: to answer, or to judge it before its channel publishes it."""
        return self.pattern in ("service", "publish")

    @property
    def uses_artifact(self) -> bool:
        """Whether what the model's version holds is read: to serve it, or to know what an image is asked."""
        return self.pattern != "image" or self.mapping is not None
