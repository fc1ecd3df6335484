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
from gitops_ml.serving.body import HEADER_LENGTH, header_length
from gitops_ml.serving.loader import Model
from gitops_ml.serving.messages import Column, InferenceRequest, InferenceResponse
from gitops_ml.serving.outputs import conform, is_column
from gitops_ml.serving.protocol import parse_request, read_columns, wanted_outputs, write_response
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

    def __init__(self, model: Model, manifest: Manifest, name: str, version: str, samples: Samples) -> None:
        self._model = model
        self._manifest = manifest
        self._name = name
        self._version = version
        self._samples = samples

    def answer(self, body: bytes, header: str | None = None, *, sampled: bool = False) -> Answer:
        """Answer one request.

        Args:
            body: decompressed.
            header: `Inference-Header-Content-Length`, if the request has it.
            sampled: rows may be kept as samples.

        Raises:
            ProtocolError: the request is at fault.
            WrongOutputError: the model gives something else than its manifest declares.
            Exception: whatever the model raises.
        """
        started = time.perf_counter()
        request, binary = parse_request(body, header_length(header))
        wanted = wanted_outputs(request, self._manifest.outputs)
        columns, rows = read_columns(request, binary, self._manifest.inputs)
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
        classifies = self._manifest.task == "classification"
        arrays = {
            spec.name: conform(outputs[spec.name], spec, rows, self._model.title, labels=classifies and is_column(spec))
            for spec, _ in wanted
        }
        if record is not None:
            self._samples.record(record, arrays, rows)
        head = InferenceResponse(self._name, self._version, request.id or msgspec.UNSET, [])
        content, length = write_response(head, [(spec, binary, arrays[spec.name]) for spec, binary in wanted])
        if length is None:
            return Response(content, media_type="application/json")
        return Response(content, media_type="application/octet-stream", headers={HEADER_LENGTH: str(length)})
