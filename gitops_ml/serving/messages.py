"""The messages of the Open Inference Protocol v2, as types.

Source: https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md).
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any] | list[str | None]
"""A numeric tensor, or the strings of a BYTES tensor with None where a value is missing."""

HEADER_LENGTH = "Inference-Header-Content-Length"
"""Header of the binary tensor data extension: how many bytes of JSON the body begins with."""

NUMPY_TYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_,
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "FP32": np.float32,
    "FP64": np.float64,
}


class ProtocolError(Exception):
    """The request cannot be answered. `status` is the HTTP status, the message is for the client."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class RequestTensor(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class RequestedOutput(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class InferenceRequest(msgspec.Struct):
    """Many clients send null for what is optional and absent."""

    inputs: list[RequestTensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[RequestedOutput] | None = None


class IndexRequest(msgspec.Struct):
    """Triton's extension of the model repository: `ready` leaves out the models that are not ready.

    Source: https://github.com/triton-inference-server/server (docs/protocol/extension_model_repository.md).
    """

    ready: bool | None = None


class ResponseTensor(msgspec.Struct, omit_defaults=True):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, Any] = {}
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET


class InferenceResponse(msgspec.Struct):
    model_name: str
    model_version: str
    id: str | msgspec.UnsetType
    outputs: list[ResponseTensor]
