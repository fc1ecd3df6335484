"""Converts between bytes of the Open Inference Protocol v2 and named columns, without HTTP and without a model.

Reads and writes JSON and the binary tensor data extension, which tritonclient uses.
Source: https://github.com/kserve/open-inference-protocol (specification/protocol/inference_rest.md) and
Triton's `extension_binary_data.md`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.serving.messages import (
    HEADER_LENGTH,
    NUMPY_TYPES,
    Column,
    InferenceRequest,
    InferenceResponse,
    ProtocolError,
    RequestTensor,
    ResponseTensor,
)


def _element(datatype: str) -> Any:
    if datatype == "BOOL":
        return bool
    if datatype == "BYTES":
        return str | None
    return float | None if datatype.startswith("FP") else int


_REQUEST = msgspec.json.Decoder(InferenceRequest)
_ANY = msgspec.json.Decoder()
_FLAT: dict[str, msgspec.json.Decoder[list[Any]]] = {
    datatype: msgspec.json.Decoder(list[_element(datatype)])  # type: ignore[misc]
    for datatype in (*NUMPY_TYPES, "BYTES")
}
_ENCODER = msgspec.json.Encoder()
_NO_JSON = re.compile(rb"[\[:,\s](?:NaN|-?Infinity)\s*[\],}]")
_FAULTS = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def json_length(header: str | None, size: int) -> int:
    """How many bytes of a body of `size` bytes are JSON, by the header `Inference-Header-Content-Length`.

    Raises:
        ProtocolError: it is no number, or more than the body has.
    """
    if header is None:
        return size
    if not header.isascii() or not header.isdigit():
        raise ProtocolError(f"{HEADER_LENGTH} is {header[:40]!r}, not a number of bytes")
    if len(header) > 18 or int(header) > size:
        raise ProtocolError(f"{HEADER_LENGTH} is {header[:40]}, the body has {size} bytes")
    return int(header)


def parse_request(body: bytes | bytearray, json_bytes: int) -> tuple[InferenceRequest, memoryview]:
    """Split a body into its JSON part and its binary tensors.

    Args:
        body: the HTTP body, decompressed.
        json_bytes: how many bytes of JSON it begins with.

    Raises:
        ProtocolError: the JSON is malformed, or is not an inference request.
    """
    view = memoryview(body)
    try:
        return _REQUEST.decode(view[:json_bytes]), view[json_bytes:]
    except _FAULTS as error:
        raise ProtocolError(f"the body is not an inference request: {_reason(error, view[:json_bytes])}") from error


def read_columns(
    request: InferenceRequest, binary: memoryview, specs: Sequence[Tensor]
) -> tuple[dict[str, Column], int]:
    """Read the request's tensors in the order of `specs`, and the number of rows.

    Raises:
        ProtocolError: a tensor is missing, unknown, repeated, or of another datatype, shape or length.
    """
    by_name = {spec.name: spec for spec in specs}
    columns: dict[str, Column] = {}
    rows: int | None = None
    offset = 0
    for tensor in request.inputs:
        spec = by_name.get(tensor.name)
        if spec is None:
            raise ProtocolError(f"unknown input {tensor.name!r}; the model takes {_listed(by_name)}")
        if tensor.name in columns:
            raise ProtocolError(f"input {tensor.name!r} is given twice")
        if tensor.datatype != spec.datatype:
            raise ProtocolError(f"input {tensor.name!r} is {spec.datatype}, not {tensor.datatype}")
        shape, count = _shape(tensor, spec)
        if rows is not None and count != rows:
            raise ProtocolError(f"input {tensor.name!r} has {count} rows, the inputs before it have {rows}")
        rows = count
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is None:
            columns[tensor.name] = _json_values(tensor, shape)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - offset:
            raise ProtocolError(f"input {tensor.name!r} has a binary_data_size of {size!r}, beyond the body's end")
        columns[tensor.name] = _binary_values(tensor, shape, binary[offset : offset + size])
        offset += size
    if offset != len(binary):
        raise ProtocolError(f"{len(binary) - offset} bytes of binary data belong to no input")
    missing = [name for name in by_name if name not in columns]
    if missing:
        raise ProtocolError(f"missing input {_listed(missing)}")
    if not rows:
        raise ProtocolError("the inputs have no rows")
    return {name: columns[name] for name in by_name}, rows


def wanted_outputs(request: InferenceRequest, specs: Sequence[Tensor]) -> list[tuple[Tensor, bool]]:
    """The outputs to compute, each with whether it is sent as binary data.

    Raises:
        ProtocolError: an output is unknown, or needs an extension that this server lacks.
    """
    default = (request.parameters or {}).get("binary_data_output") is True
    if not request.outputs:
        return [(spec, default) for spec in specs]
    by_name = {spec.name: spec for spec in specs}
    wanted = []
    for output in request.outputs:
        if output.name not in by_name:
            raise ProtocolError(f"unknown output {output.name!r}; the model gives {_listed(by_name)}")
        parameters = output.parameters or {}
        if "classification" in parameters or "shared_memory_region" in parameters:
            raise ProtocolError("the classification and shared memory extensions are not supported")
        wanted.append((by_name[output.name], parameters.get("binary_data", default) is True))
    return wanted


def write_response(
    response: InferenceResponse, arrays: Sequence[tuple[Tensor, bool, NDArray[Any]]]
) -> tuple[bytes, int | None]:
    """Make the body of an answer; with binary data, also the length of its JSON part.

    Args:
        arrays: outputs, whether each is sent as binary data, and its values in its datatype (`outputs.conform`).

    Raises:
        ProtocolError: binary data is asked for, and cannot hold a text that is missing.
    """
    binary: list[bytes] = []
    for spec, as_binary, array in arrays:
        tensor = ResponseTensor(name=spec.name, datatype=spec.datatype, shape=list(array.shape))
        if as_binary:
            raw = _bytes_tensor(spec.name, array.ravel()) if spec.datatype == "BYTES" else array.tobytes()
            tensor.parameters = {"binary_data_size": len(raw)}
            binary.append(raw)
        else:
            tensor.data = array.ravel().tolist()
        response.outputs.append(tensor)
    head = _ENCODER.encode(response)
    return (b"".join([head, *binary]), len(head)) if binary else (head, None)


def _shape(tensor: RequestTensor, spec: Tensor) -> tuple[tuple[int, ...], int]:
    """The shape of the values in memory, and the number of rows; a column may come as [n] or [n, 1]."""
    given = tuple(tensor.shape)
    width = spec.shape[1:]
    fits = given[1:] in ((), (1,)) if width in ((), (1,)) else len(given) == len(spec.shape)
    fits = fits and all(size in (-1, have) for size, have in zip(width, given[1:], strict=False))
    if not given or min(given) < 0 or not fits:
        raise ProtocolError(f"input {tensor.name!r} has shape {list(given)}, the model takes {list(spec.shape)}")
    return ((given[0],) if width in ((), (1,)) else given), given[0]


def _json_values(tensor: RequestTensor, shape: tuple[int, ...]) -> Column:
    if tensor.data is msgspec.UNSET:
        raise ProtocolError(f"input {tensor.name!r} has no data")
    try:
        values = _FLAT[tensor.datatype].decode(tensor.data)
    except _FAULTS as error:
        values = _nested_values(tensor, error)
    if len(values) != math.prod(shape):
        raise ProtocolError(f"input {tensor.name!r} has {len(values)} values for shape {tensor.shape}")
    if tensor.datatype == "BYTES" and len(shape) == 1:
        return values
    if tensor.datatype == "BYTES":
        return np.array(values, dtype=object).reshape(shape)
    try:
        return np.array(values, dtype=NUMPY_TYPES[tensor.datatype]).reshape(shape)
    except (OverflowError, ValueError) as error:
        raise ProtocolError(f"input {tensor.name!r} does not fit {tensor.datatype}: {error}") from error


def _nested_values(tensor: RequestTensor, flat_error: Exception) -> list[Any]:
    """The values of nested data ([[1.0], [2.0]]), which the protocol also allows, in row-major order."""
    wrong = ProtocolError(f"input {tensor.name!r} does not hold {tensor.datatype} values: {flat_error}")
    assert not isinstance(tensor.data, msgspec.UnsetType)
    try:
        values = _ANY.decode(tensor.data)
        while isinstance(values, list) and values and all(isinstance(value, list) for value in values):
            values = [inner for value in values for inner in value]
        return msgspec.convert(values, list[_element(tensor.datatype)])  # type: ignore[misc, no-any-return]
    except _FAULTS:
        raise wrong from flat_error


def _binary_values(tensor: RequestTensor, shape: tuple[int, ...], raw: memoryview) -> Column:
    if tensor.datatype == "BYTES":
        strings = _strings(tensor.name, raw, math.prod(shape))
        return strings if len(shape) == 1 else np.array(strings, dtype=object).reshape(shape)
    dtype = np.dtype(NUMPY_TYPES[tensor.datatype])
    if len(raw) != math.prod(shape) * dtype.itemsize:
        raise ProtocolError(
            f"input {tensor.name!r} has {len(raw)} bytes for {tensor.datatype} values of shape {tensor.shape}"
        )
    return np.frombuffer(raw, dtype=dtype).reshape(shape).copy()  # estimators may write into their input


def _strings(name: str, raw: memoryview, count: int) -> list[str | None]:
    """The strings of a binary BYTES tensor: each is its length in four little-endian bytes, then UTF-8."""
    values: list[str | None] = []
    offset, end = 0, len(raw)
    try:
        while offset < end:
            start = offset + 4
            offset = start + int.from_bytes(raw[offset:start], "little")
            if offset > end:
                raise ProtocolError(f"input {name!r} has a string beyond the end of its binary data")
            values.append(str(raw[start:offset], "utf-8"))
    except UnicodeDecodeError as error:
        raise ProtocolError(f"input {name!r} has a string that is not UTF-8") from error
    if len(values) != count:
        raise ProtocolError(f"input {name!r} has {len(values)} strings for {count} values")
    return values


def _bytes_tensor(name: str, values: NDArray[Any]) -> bytes:
    if None in values:
        raise ProtocolError(f"output {name!r} misses a value, which binary data cannot hold; ask for JSON")
    encoded = [value.encode() for value in values]
    return b"".join(part for value in encoded for part in (len(value).to_bytes(4, "little"), value))


def _reason(error: Exception, text: memoryview) -> str:
    """What is wrong with JSON; Python and JavaScript clients write NaN, which JSON lacks."""
    if _NO_JSON.search(text):
        return "JSON has no NaN and no Infinity; write null for a missing value"
    return str(error)


def _listed(names: Iterable[str] | Mapping[str, object]) -> str:
    return ", ".join(repr(name) for name in names)
