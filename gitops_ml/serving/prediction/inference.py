"""Turns the body of an inference request into its answer, with the one model that the server holds.

Without HTTP and without an event loop, so that it runs in the event loop, in the thread, or before the port is bound.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.responses import Response

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.serving.limits import Limits
from gitops_ml.serving.messages import Column, InferenceRequest, InferenceResponse
from gitops_ml.serving.prediction.cost import answering_cost, reading_cost, require_affordable
from gitops_ml.serving.prediction.loader import Model
from gitops_ml.serving.prediction.outputs import conform_all
from gitops_ml.serving.protocol import json_length, parse_request, read_columns, wanted_outputs, write_response
from gitops_ml.serving.replies import predictions
from gitops_ml.serving.samples import Samples


class Answer(msgspec.Struct, frozen=True):
    """`response`, or an awaitable of it if the model is asynchronous; `seconds` that the calling thread was busy."""

    response: Response | Awaitable[Response]
    rows: int
    seconds: float


class Inference:
    """Answers the inference requests of one deployment.

    Args:
        name: the deployment, as answers name it.
        version: the model's version, as answers name it.
        samples: takes the rows that may be kept.
    """

    def __init__(
        self, model: Model, manifest: Manifest, name: str, version: str, samples: Samples, limits: Limits
    ) -> None:
        self._model = model
        self._manifest = manifest
        self._name = name
        self._version = version
        self._samples = samples
        self._limits = limits
        self._strings = any(spec.datatype == "BYTES" for spec in manifest.inputs)

    def answer(self, body: bytes | bytearray, header: str | None = None, *, sampled: bool = False) -> Answer:
        """Answer one request.

        Args:
            body: decompressed.
            header: `Inference-Header-Content-Length`, if the request has it.
            sampled: rows may be kept as samples.

        Raises:
            ProtocolError: the request is at fault, or would take too much memory.
            WrongOutputError: the model gives something else than its manifest declares.
            Exception: whatever the model raises.
        """
        started = time.perf_counter()
        json_bytes = json_length(header, len(body))
        if len(body) > self._limits.inline_bytes:
            require_affordable(reading_cost(body, json_bytes, self._strings), self._limits.request_bytes)
        request, binary = parse_request(body, json_bytes)
        wanted = wanted_outputs(request, self._manifest.outputs)
        columns, rows = read_columns(request, binary, self._manifest.inputs)
        require_affordable(answering_cost(rows, [spec for spec, _ in wanted]), self._limits.request_bytes)
        outputs = self._model.predict(columns, [spec.name for spec, _ in wanted])
        record = columns if sampled else None
        response: Response | Awaitable[Response]
        if isinstance(outputs, Awaitable):
            response = self._awaited(outputs, request, wanted, rows, record)
        else:
            response = self._respond(outputs, request, wanted, rows, record)
        return Answer(response, rows, time.perf_counter() - started)

    async def _awaited(
        self,
        outputs: Awaitable[Mapping[str, Any]],
        request: InferenceRequest,
        wanted: Sequence[tuple[Tensor, bool]],
        rows: int,
        record: Mapping[str, Column] | None,
    ) -> Response:
        return self._respond(await outputs, request, wanted, rows, record)

    def _respond(
        self,
        outputs: Mapping[str, Any],
        request: InferenceRequest,
        wanted: Sequence[tuple[Tensor, bool]],
        rows: int,
        record: Mapping[str, Column] | None,
    ) -> Response:
        arrays = conform_all(outputs, wanted, rows, self._model.title, self._manifest)
        if record is not None:
            self._samples.record(record, arrays, rows)
        head = InferenceResponse(self._name, self._version, request.id or msgspec.UNSET, [])
        content, length = write_response(head, [(spec, binary, arrays[spec.name]) for spec, binary in wanted])
        return predictions(content, length)
