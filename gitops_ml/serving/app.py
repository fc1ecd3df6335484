"""The HTTP side of the model server: routes of the Open Inference Protocol v2 around one loaded model.

Small requests are predicted in the event loop, since a thread costs more than the prediction. Large requests, and those
to a slow model, are predicted in one thread, so that health keeps answering.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
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
from gitops_ml.serving.body import HEADER_LENGTH, read_body
from gitops_ml.serving.inference import Answer, Inference
from gitops_ml.serving.loader import Model
from gitops_ml.serving.manifest import PLATFORMS
from gitops_ml.serving.messages import ProtocolError
from gitops_ml.serving.metrics import Metrics
from gitops_ml.serving.replies import config_tensor, failed, http_error, json_reply, protocol_error
from gitops_ml.serving.samples import PER_SECOND, ROWS, Samples

log = logging.getLogger("gitops_ml.serving")

SLOW_SECONDS = 0.05
"""After a request that blocked the event loop for longer, requests go to the thread until one is quick again."""

PIN_HEADER, CHECK_HEADER = "x-gitops-ml-generation", "x-gitops-ml-check"
"""Requests that carry one of them are not users': the client chose the generation, or is a check of gitops-ml."""

EXTENSIONS = ["binary_tensor_data", "model_configuration"]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What the server's metadata says; a generation is ready if version and digest are as expected."""

    deployment: str
    model: str
    version: str
    digest: str
    generation: str


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of requests: the largest body, also decompressed; the largest body predicted in the event loop; and for
    `Samples` the rows kept and the rows a second."""

    body_bytes: int = 64 << 20
    inline_bytes: int = 16 << 10
    samples: int = ROWS
    samples_per_second: int = PER_SECOND


class ModelApp:
    """ASGI application around one model.

    Attributes:
        inference: answers requests without HTTP.
        in_flight: requests that are not answered yet, without those for health, metrics and this count.
        draining: once set, the server is not ready and every answer closes its connection, so that no client sends a
            request over a kept-alive connection that is about to close.
    """

    def __init__(self, model: Model, manifest: Manifest, identity: Identity, limits: Limits) -> None:
        self.in_flight = 0
        self.draining = False
        self._model = model
        self._manifest = manifest
        self._identity = identity
        self._limits = limits
        self._metrics = Metrics(msgspec.to_builtins(identity))
        self._samples = Samples(manifest.inputs, limits.samples, limits.samples_per_second)
        self.inference = Inference(model, manifest, identity.deployment, identity.version, self._samples)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._slow = False
        self._quiet: set[str] = set()
        self._metadata = msgspec.json.encode(self._describe())
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

    def _routes(self) -> ASGIApp:
        name = self._identity.deployment
        health: dict[str, Callable[[Request], Awaitable[Response]]]
        health = {"/v2/health/live": self._live, "/v2/health/ready": self._ready, "/metrics": self._scrape}
        health |= {"/gitops-ml/in-flight": self._count, "/gitops-ml/samples": self._sampled}
        routes = [Route("/v2", self._server)]
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
        """Answers only requests from the environment's own network; the gateway marks requests that it forwards."""
        if _forwarded(request):
            raise ProtocolError("Not Found", 404)
        return Response(self._samples.content(), media_type="application/json")

    async def _scrape(self, _: Request) -> Response:
        return Response(self._metrics.text(self.in_flight), media_type=self._metrics.content_type)

    async def _server(self, _: Request) -> Response:
        return json_reply({"name": "gitops-ml", "version": str(SERVING_VERSION), "extensions": EXTENSIONS})

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
            body = await read_body(request, self._limits.body_bytes)
            started = time.perf_counter()
            answer = await self._answer(body, request)
            rows = answer.rows
            response = await answer.response if inspect.isawaitable(answer.response) else answer.response
            code = 200
            return response
        except ProtocolError as error:
            code = error.status
            raise
        except Exception as error:  # the model is foreign code
            # Answered here: after an error that reaches uvicorn, it closes the connection unannounced, and another
            # user's request may be on its way over that connection.
            log.exception("the model failed")
            return await failed(request, error)
        finally:
            if _is_users(request):
                self._metrics.answered(code, rows, time.perf_counter() - started)

    async def _answer(self, body: bytes, request: Request) -> Answer:
        header, sampled = request.headers.get(HEADER_LENGTH), _forwarded(request) and _is_users(request)
        small = len(body) <= self._limits.inline_bytes
        answer = functools.partial(self.inference.answer, body, header, sampled=sampled)
        if self._slow or self._model.threaded or not small:
            result = await asyncio.get_running_loop().run_in_executor(self._thread, answer)
        else:
            result = answer()
        if small:
            self._slow = result.seconds > SLOW_SECONDS
        return result

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


def _forwarded(request: Request) -> bool:
    """Whether the gateway forwarded the request: then it is a user's. Probes and the reconciler ask directly."""
    return any(name.startswith(b"x-forwarded-") for name, _ in request.scope["headers"])


def _is_users(request: Request) -> bool:
    """Whether a user asks, rather than a check, or a person who chose the generation to try it out."""
    return PIN_HEADER not in request.headers and CHECK_HEADER not in request.headers
