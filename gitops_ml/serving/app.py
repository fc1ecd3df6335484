"""The HTTP side of the model server: routes of the Open Inference Protocol v2 around one loaded model."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.serving import SERVING_VERSION
from gitops_ml.serving.bodies import Bodies
from gitops_ml.serving.channel import Channel, Published
from gitops_ml.serving.limits import Limits
from gitops_ml.serving.messages import IndexRequest, ProtocolError
from gitops_ml.serving.metrics import Metrics
from gitops_ml.serving.openapi import describe_api
from gitops_ml.serving.prediction.inference import Inference
from gitops_ml.serving.prediction.loader import Model
from gitops_ml.serving.prediction.manifest import PLATFORMS
from gitops_ml.serving.prediction.scheduling import Scheduler
from gitops_ml.serving.replies import (
    config_tensor,
    failed,
    forwarded,
    http_error,
    json_reply,
    protocol_error,
    require_inside,
)
from gitops_ml.serving.samples import Samples

log = logging.getLogger("gitops_ml.serving")

PIN_HEADER, CHECK_HEADER = "x-gitops-ml-generation", "x-gitops-ml-check"
"""Requests that carry one of them are not users': the client chose the generation, or is a check of gitops-ml."""

DEPLOYMENTS_HEADER = "x-gitops-ml-deployments"
"""Names that the gateway sets, separated by commas, where it forwards what was asked of its bare port."""

EXTENSIONS = ["binary_tensor_data", "model_configuration"]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's metadata says; a generation is ready if version and digest are as expected."""

    deployment: str
    model: str
    version: str
    digest: str
    generation: str


class ModelApp:
    """ASGI application around one model.

    Args:
        published: what a channel offers to subscribers; None where there is no channel.

    Attributes:
        inference: answers requests without HTTP.
        in_flight: requests that are not answered yet, without those for health, metrics and this count.
        draining: once set, the server is not ready and every answer closes its connection, so that no client sends a
            request over a kept-alive connection that is about to close.
    """

    def __init__(
        self, model: Model, manifest: Manifest, identity: Identity, limits: Limits, published: Published | None = None
    ) -> None:
        self.in_flight = 0
        self.draining = False
        self.limits = limits
        self._manifest = manifest
        self._identity = identity
        self._bodies = Bodies(limits)
        self._metrics = Metrics(msgspec.to_builtins(identity))
        self._samples = Samples(manifest.inputs, limits.samples, limits.samples_per_second)
        self.inference = Inference(model, manifest, identity.deployment, identity.version, self._samples, limits)
        self._scheduler = Scheduler(self.inference, limits, threaded=model.threaded, stuck=self._stop)
        self._channel = self._open_channel(published) if published else None
        self._quiet: set[str] = set()
        self._metadata = msgspec.json.encode(self._describe())
        self._api = msgspec.json.encode(describe_api(identity.deployment, identity.version, manifest))
        self._app = self._routes()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].endswith("/"):
            # Starlette would redirect to the path without the slash, at an address that only this container knows.
            scope["path"] = scope["path"].rstrip("/")
        counted = scope["path"] not in self._quiet
        self.in_flight += counted
        try:
            await self._app(scope, receive, self._closing(send) if self.draining else send)
        finally:
            self.in_flight -= counted
            self._bodies.release(scope)

    def begin(self) -> None:
        """Begin to watch how long predictions take; call it in the event loop."""
        self._scheduler.begin()

    def _stop(self) -> None:
        self.draining = True

    def _open_channel(self, published: Published) -> Channel:
        return Channel(
            published,
            msgspec.to_builtins(self._identity),
            streams=self.limits.connections // 2,
            poll_seconds=self.limits.poll_seconds,
            stopping=lambda: self.draining,
            bodies=self._bodies,
        )

    def _routes(self) -> ASGIApp:
        name = self._identity.deployment
        health: dict[str, Callable[[Request], Awaitable[Response]]]
        health = {"/v2/health/live": self._live, "/v2/health/ready": self._ready, "/metrics": self._scrape}
        health |= {"/gitops-ml/in-flight": self._count, "/gitops-ml/samples": self._sampled}
        routes = [Route("/v2", self._server), Route("/openapi.json", self._openapi)]
        routes += [Route("/v2/models", self._models), Route("/v2/repository/index", self._index, methods=["POST"])]
        if self._channel:
            routes += self._channel.routes()
            health |= self._channel.quiet_routes()
        for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
            routes.append(Route(f"{model}/infer", self._infer, methods=["POST"]))
            routes.append(Route(model, self._model_metadata))
            routes.append(Route(f"{model}/ready", self._model_ready))
            routes.append(Route(f"{model}/config", self._config))
        routes.extend(Route(path, endpoint) for path, endpoint in health.items())
        own = (f"/v2/models/{name}", f"/v2/models/{name}/versions/{self._identity.version}")
        for path in (*health, *(f"{path}/ready" for path in own)):
            self._quiet.update((path, f"/{name}{path}"))
        # Clients whose base URL holds the deployment also reach this server directly, without the gateway.
        return Starlette(
            routes=[*routes, Mount(f"/{name}", routes=list(routes))],
            exception_handlers={
                HTTPException: http_error,
                ProtocolError: protocol_error,
                Exception: failed,
            },
        )

    async def _live(self, _: Request) -> Response:
        return json_reply({"live": True})

    async def _ready(self, _: Request) -> Response:
        return json_reply({"ready": not self.draining}, 503 if self.draining else 200)

    async def _count(self, _: Request) -> Response:
        return json_reply({"in_flight": self.in_flight})

    async def _sampled(self, request: Request) -> Response:
        """Answers only requests from the environment's own network."""
        require_inside(request)
        return Response(self._samples.content(), media_type="application/json")

    async def _scrape(self, _: Request) -> Response:
        return Response(self._metrics.text(self.in_flight), media_type=self._metrics.content_type)

    async def _server(self, _: Request) -> Response:
        return json_reply({"name": "gitops-ml", "version": str(SERVING_VERSION), "extensions": EXTENSIONS})

    async def _openapi(self, _: Request) -> Response:
        return Response(self._api, media_type="application/json")

    async def _models(self, request: Request) -> Response:
        """KServe's list of models."""
        return json_reply({"models": [entry["name"] for entry in self._listed(request)]})

    async def _index(self, request: Request) -> Response:
        """Triton's list of models. Loading and unloading are Git's business, so the extension is not claimed."""
        content = await self._bodies.read(request)
        try:
            wanted = msgspec.json.decode(content, type=IndexRequest) if content else IndexRequest()
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ProtocolError(f"the request for the index is not as the protocol says: {error}") from error
        listed = self._listed(request)
        return json_reply([entry for entry in listed if entry["state"] == "READY" or not wanted.ready])

    def _listed(self, request: Request) -> list[dict[str, str]]:
        """The deployments that the gateway names, which all have a route and a version that serves; else this one."""
        names = request.headers.get(DEPLOYMENTS_HEADER)
        # Under a deployment's own path the gateway passes a client's header on; it sets this prefix there.
        if names and "x-forwarded-prefix" not in request.headers:
            return [{"name": name, "state": "READY", "reason": ""} for name in names.split(",")]
        state, reason = ("UNAVAILABLE", "the server stops") if self.draining else ("READY", "")
        own = self._identity
        return [{"name": own.deployment, "version": own.version, "state": state, "reason": reason}]

    async def _model_metadata(self, request: Request) -> Response:
        self._check(request)
        return Response(self._metadata, media_type="application/json")

    async def _model_ready(self, request: Request) -> Response:
        self._check(request)
        name = self._identity.deployment
        return json_reply({"name": name, "ready": not self.draining}, 503 if self.draining else 200)

    async def _config(self, request: Request) -> Response:
        """Triton's model configuration, as far as clients need it to build requests."""
        self._check(request)
        return json_reply(
            {
                "name": self._identity.deployment,
                "platform": PLATFORMS[self._manifest.format],
                "backend": self._manifest.format,
                "max_batch_size": 0,
                "input": [config_tensor(spec) for spec in self._manifest.inputs],
                "output": [config_tensor(spec) for spec in self._manifest.outputs],
            }
        )

    async def _infer(self, request: Request) -> Response:
        self._check(request)
        started = time.perf_counter()
        code, rows = 500, 0
        try:
            body = await self._bodies.read(request)
            started = time.perf_counter()
            sampled = forwarded(request) and _is_users(request)
            response, rows = await self._scheduler.answer(body, request, sampled=sampled)
            self._bodies.hold_answer(request.scope, len(response.body))
            code = 200
            return response
        except ProtocolError as error:
            code = error.status
            raise
        except MemoryError as error:
            code = 503
            log.error("a request needs more memory than there is")
            raise ProtocolError("the server's memory does not suffice; send fewer rows at once", code) from error
        except Exception as error:  # the model is foreign code
            # Answered here: after an error that reaches uvicorn, it closes the connection unannounced, and another
            # user's request may be on its way over that connection.
            log.exception("the model failed")
            return await failed(request, error)
        finally:
            if _is_users(request):
                self._metrics.answered(code, rows, time.perf_counter() - started)

    def _check(self, request: Request) -> None:
        model, version = request.path_params["model"], request.path_params.get("version")
        if model != self._identity.deployment:
            raise ProtocolError(f"unknown model {model!r}; this server has {self._identity.deployment!r}", 404)
        if version not in (None, self._identity.version):
            raise ProtocolError(f"unknown version {version!r}; this server has {self._identity.version!r}", 404)

    def _describe(self) -> dict[str, Any]:
        parameters = msgspec.to_builtins(self._identity)
        return {
            "name": parameters.pop("deployment"),
            "versions": [self._identity.version],
            "platform": PLATFORMS[self._manifest.format],
            "inputs": self._manifest.inputs,
            "outputs": self._manifest.outputs,
            "parameters": parameters,
        }

    def _closing(self, send: Send) -> Send:
        async def closing(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"connection", b"close")]
            await send(message)

        return closing


def _is_users(request: Request) -> bool:
    """Whether a user asks, rather than a check, or a person who chose the generation to try it out."""
    return PIN_HEADER not in request.headers and CHECK_HEADER not in request.headers
