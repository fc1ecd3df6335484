"""The OpenAPI description of one model's server, from its manifest: what a client may send, and what comes back.

Source: https://spec.openapis.org/oas/v3.1.0, and the schema of the Open Inference Protocol v2
(https://github.com/kserve/open-inference-protocol, specification/protocol/open_inference_rest.yaml).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.serving.messages import NUMPY_TYPES

OPENAPI = "3.1.0"

REFUSALS = {
    400: "The request is no inference request for this model; the error names the tensor.",
    408: "The body came too slowly.",
    413: "The body, or the memory that it would take, is over the limit; send fewer rows at once.",
    415: "The content encoding is neither gzip nor deflate.",
    429: "Other requests take all room; send it again.",
    500: "The model failed.",
    503: "The prediction took too long, or the memory did not suffice.",
}


def describe_api(name: str, version: str, manifest: Manifest) -> dict[str, Any]:
    """Make the description.

    Args:
        name: the deployment, under which the server answers.
        version: the model's version.
    """
    health = {"live": _answer(_object({"live": _BOOLEAN})), "ready": _answer(_object({"ready": _BOOLEAN}))}
    paths: dict[str, Any] = {
        "/v2": {"get": _operation("Server metadata", {200: _answer(_SERVER)})},
        "/v2/health/live": {"get": _operation("Is the server alive?", {200: health["live"]})},
        "/v2/health/ready": {"get": _operation("Is the server ready?", {200: health["ready"], 503: health["ready"]})},
    }
    index = _operation("Models, as Triton lists them", {200: _answer(_INDEX), **_refusals(400, 408, 413, 415, 429)})
    index["requestBody"] = {"content": {"application/json": {"schema": _object({"ready": _OPTIONAL}, ("ready",))}}}
    paths["/v2/models"] = {"get": _operation("Names of the models", {200: _answer(_MODELS)})}
    paths["/v2/repository/index"] = {"post": index}
    for path in (f"/v2/models/{name}", f"/v2/models/{name}/versions/{version}"):
        ready = _answer(_object({"name": {"const": name}, "ready": _BOOLEAN}))
        infer = _operation("Predict", {200: _predictions(), **_refusals(*REFUSALS)})
        infer["requestBody"] = _request_body()
        paths |= {
            path: {"get": _operation("Model metadata", {200: _answer(_METADATA)})},
            f"{path}/ready": {"get": _operation("Is the model ready?", {200: ready, 503: ready})},
            f"{path}/infer": {"post": infer},
        }
    return {
        "openapi": OPENAPI,
        "info": {"title": f"{name}: {manifest.name}", "version": version},
        "paths": paths,
        "components": {
            "schemas": {
                "Error": _object({"error": {"type": "string"}}),
                "InferenceRequest": _request(manifest),
                "InferenceResponse": _response(name, version, manifest.outputs),
            }
        },
    }


_BOOLEAN = {"type": "boolean"}
_OPTIONAL = {"type": ["boolean", "null"]}
_STRING = {"type": "string"}
_PARAMETERS = {"type": ["object", "null"]}
_SHAPE = {"type": "array", "items": {"type": "integer"}, "minItems": 1}


def _object(properties: Mapping[str, Any], optional: Sequence[str] = ()) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": dict(properties)}


_TENSORS = {"type": "array", "items": _object({"name": _STRING, "datatype": _STRING, "shape": _SHAPE})}
_SERVER = _object({"name": _STRING, "version": _STRING, "extensions": {"type": "array", "items": _STRING}})
_METADATA = _object(
    {
        "name": _STRING,
        "versions": {"type": "array", "items": _STRING},
        "platform": _STRING,
        "inputs": _TENSORS,
        "outputs": _TENSORS,
        "parameters": {"type": "object", "additionalProperties": _STRING},
    }
)


_MODELS = _object({"models": {"type": "array", "items": _STRING}})
_INDEX = {
    "type": "array",
    "items": _object({"name": _STRING, "version": _STRING, "state": _STRING, "reason": _STRING}, ("version",)),
}


def _operation(summary: str, answers: Mapping[int, Any]) -> dict[str, Any]:
    return {"summary": summary, "responses": {str(status): answer for status, answer in answers.items()}}


def _answer(schema: Mapping[str, Any], description: str = "The answer.") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": dict(schema)}}}


def _refusal(status: int) -> dict[str, Any]:
    return _answer({"$ref": "#/components/schemas/Error"}, REFUSALS[status])


def _refusals(*statuses: int) -> dict[int, Any]:
    return {status: _refusal(status) for status in statuses}


def _predictions() -> dict[str, Any]:
    answer = _answer({"$ref": "#/components/schemas/InferenceResponse"}, "The predictions.")
    answer["content"]["application/octet-stream"] = {"schema": {"type": "string", "format": "binary"}}
    return answer


def _request_body() -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/InferenceRequest"}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


def _request(manifest: Manifest) -> dict[str, Any]:
    count = len(manifest.inputs)
    outputs = _object(
        {"name": {"enum": [spec.name for spec in manifest.outputs]}, "parameters": _PARAMETERS}, ("parameters",)
    )
    return _object(
        {
            "inputs": {
                "type": "array",
                "items": {"oneOf": [_tensor(spec, _element(spec.datatype)) for spec in manifest.inputs]},
                "minItems": count,
                "maxItems": count,
                "description": "Each input once, in any order, with the same number of rows.",
            },
            "id": {"type": ["string", "null"]},
            "parameters": _PARAMETERS,
            "outputs": {"type": ["array", "null"], "items": outputs},
        },
        ("id", "parameters", "outputs"),
    )


def _response(name: str, version: str, outputs: Sequence[Tensor]) -> dict[str, Any]:
    return _object(
        {
            "model_name": {"const": name},
            "model_version": {"const": version},
            "id": _STRING,
            "outputs": {
                "type": "array",
                "items": {"oneOf": [_tensor(spec, _element(spec.datatype)) for spec in outputs]},
            },
        },
        ("id",),
    )


def _tensor(spec: Tensor, element: Mapping[str, Any]) -> dict[str, Any]:
    data = {
        "type": "array",
        "items": element,
        "description": f"Values of shape {list(spec.shape)} in row-major order, -1 being any number.",
    }
    return _object(
        {
            "name": {"const": spec.name},
            "datatype": {"const": spec.datatype},
            "shape": _SHAPE | {"items": {"type": "integer", "minimum": 0}, "maxItems": max(2, len(spec.shape))},
            "data": data,
            "parameters": _PARAMETERS,
        },
        ("parameters", "data"),
    )


def _element(datatype: str) -> dict[str, Any]:
    if datatype == "BYTES":
        return {"type": ["string", "null"]}
    if datatype == "BOOL":
        return {"type": "boolean"}
    if datatype.startswith("FP"):
        return {"type": ["number", "null"]}
    limits = np.iinfo(np.zeros(0, NUMPY_TYPES[datatype]).dtype)
    return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}
