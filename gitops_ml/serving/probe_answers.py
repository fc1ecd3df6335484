"""Checks what a model server answered to the probe: JSON of the Open Inference Protocol v2, whole and of sane types.

A model server is hostile until proven otherwise. Whatever it answers becomes plain, bounded values, or an error of this
one target. Standard library only, as the probe.
"""

from __future__ import annotations

import json
import math
import socket
from collections.abc import Mapping
from typing import Any

MAX_METADATA_BYTES = 1 << 20
MAX_ANSWER_BYTES = 32 << 20
MAX_JSON_BYTES = 8 << 20
"""Bytes of one answer of an application in its own form."""
MAX_BRACKETS = 1_000_000
"""Lists and objects in one answer. Each takes 64 bytes of memory for 2 bytes of JSON."""
MAX_DEPTH = 32
MAX_TEXT = 500
"""Characters kept of an error or a value that a server names."""

_NUMBERS = (int, float, type(None))
_VALUE_TYPES: dict[str, tuple[type, ...]] = {
    "BOOL": (bool,),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"), (int,)),
    **dict.fromkeys(("FP16", "FP32", "FP64"), _NUMBERS),
    "BYTES": (str, type(None)),
}
_MALFORMED = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


class TargetError(Exception):
    """The target did not do what was asked of it; the message is for the record."""


class NotYet(Exception):
    """The target is not ready, and may still become ready."""


def metadata_of(body: bytes, expect: Mapping[str, str]) -> dict[str, Any]:
    """Read a server's metadata of its model, and compare its version and digest with those of `expect`.

    Raises:
        NotYet: the answer is no metadata of the protocol.
        TargetError: it is too long, or names another version or digest; waiting changes neither.
    """
    if len(body) > MAX_METADATA_BYTES:
        raise TargetError(f"its metadata is longer than {MAX_METADATA_BYTES:,} bytes")
    try:
        metadata = _parsed(body)
        parameters, versions = metadata.get("parameters") or {}, metadata.get("versions") or []
        if not isinstance(parameters, dict) or not isinstance(versions, list):
            raise TypeError("`parameters` is an object and `versions` a list")
    except _MALFORMED as error:
        raise NotYet(f"metadata is no JSON of the protocol: {short(error)}") from error
    names = {"version": versions[0] if versions else None, **parameters}
    for key, wanted in expect.items():
        if names.get(key) != wanted:
            raise TargetError(f"answers with {key} {short(names.get(key))}, not {wanted}")
    return dict(metadata)


def require_version(body: bytes, expect: Mapping[str, str], path: str) -> None:
    """Check what an application answers at `path`: the version or the digest that it has loaded, as text, or as
    `version` or `digest` in a JSON object.

    Raises:
        NotYet: it names neither.
        TargetError: it names another one; waiting changes nothing.
    """
    try:
        answer = _parsed(body)
    except _MALFORMED:
        answer = body.decode("utf-8", "replace").strip()
    named = [answer.get(key) for key in expect] if isinstance(answer, dict) else [answer]
    texts = [name for name in named if isinstance(name, str) and name]
    others = [text for text in texts if text not in expect.values()]
    if others:
        raise TargetError(f"{path} names {short(others[0])}, not {' or '.join(expect.values())}")
    if not texts:
        raise NotYet(f"{path} names neither {' nor '.join(expect.values())}")


def outputs_of(answer: bytes, rows: int) -> dict[str, list[Any]]:
    """Read the outputs by name, each flat in row-major order, of an answer to `rows` rows.

    Raises:
        TargetError: the answer is too long, does not follow the protocol, or has another number of rows.
    """
    if len(answer) > MAX_ANSWER_BYTES:
        raise TargetError(f"the answer is longer than {MAX_ANSWER_BYTES:,} bytes")
    values: dict[str, list[Any]] = {}
    wrong_rows = []
    try:
        for output in _parsed(answer)["outputs"]:
            name, shape = output["name"], output["shape"]
            if type(name) is not str or type(shape) is not list or not all(type(n) is int and n >= 0 for n in shape):
                raise TypeError("an output's name is a text, and its shape a list of whole numbers")
            if shape[0] == rows:
                values[name] = _flat(name, output["data"], shape, output["datatype"])
            else:
                wrong_rows.append(name)
    except _MALFORMED as error:
        raise TargetError(f"the answer does not follow the protocol: {type(error).__name__}: {short(error)}") from error
    if wrong_rows or not values:
        raise TargetError(f"the answer has no {rows} rows in {short(wrong_rows) if wrong_rows else 'any output'}")
    return values


def require_json(answer: bytes) -> None:
    """Raise `TargetError` unless an application's answer is strict JSON of a bounded size and depth."""
    if len(answer) > MAX_JSON_BYTES:
        raise TargetError(f"the answer is longer than {MAX_JSON_BYTES:,} bytes")
    try:
        _parsed(answer)
    except _MALFORMED as error:
        raise TargetError(f"the answer is no JSON: {short(error)}") from error


def require_values(outputs: Mapping[str, list[Any]]) -> None:
    """Raise `TargetError` if some row of an output has no value."""
    empty = [name for name, values in outputs.items() if not values or None in values]
    if empty:
        raise TargetError(f"output {short(', '.join(empty))} holds no value for some row")


def error_text(body: bytes) -> str:
    """The `error` of an answer that is not 200, else the beginning of its body."""
    try:
        return short(_parsed(body[:MAX_METADATA_BYTES])["error"])
    except _MALFORMED:
        return short(body[:MAX_TEXT].decode("utf-8", "replace"))


def reason_of(error: BaseException) -> str:
    """Why a server did not answer."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, socket.gaierror):
        return "its name does not resolve"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return f"{type(error).__name__}: {short(error)}"


def short(value: object) -> str:
    """A value or an error as text of at most `MAX_TEXT` characters that encodes as UTF-8."""
    text = str(value)[:MAX_TEXT]
    return text.encode("utf-8", "replace").decode()


def _parsed(body: bytes) -> Any:
    """Parse strict JSON: no NaN, no infinity, no lone surrogates, nesting bounded. Raises one of `_MALFORMED`."""
    if body.count(b"[") + body.count(b"{") > MAX_BRACKETS:
        raise ValueError(f"it holds more than {MAX_BRACKETS:,} lists and objects")
    document = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant, parse_float=_finite)
    _check_depth(document, MAX_DEPTH)
    if b"\\ud" in body or b"\\uD" in body:
        json.dumps(document, ensure_ascii=False).encode("utf-8")  # a lone surrogate raises UnicodeEncodeError
    return document


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is out of range")
    return number


def _check_depth(value: Any, depth: int) -> None:
    if not isinstance(value, list | dict):
        return
    if depth == 0:
        raise ValueError(f"it is nested more than {MAX_DEPTH} levels deep")
    for item in value if isinstance(value, list) else value.values():
        if isinstance(item, list | dict):
            _check_depth(item, depth - 1)


def _flat(name: str, data: Any, shape: list[int], datatype: str) -> list[Any]:
    """The values of one output in row-major order; the protocol allows flat and nested data."""
    if type(data) is not list:
        raise TypeError(f"`data` of {name} is no list")
    for size in shape[1:]:
        if not data or type(data[0]) is not list:
            break
        if any(type(row) is not list or len(row) != size for row in data):
            raise ValueError(f"`data` of {name} is ragged")
        data = [value for row in data for value in row]
    if len(data) != math.prod(shape):
        raise ValueError(f"{len(data)} values of {name} for shape {shape[:MAX_DEPTH]}")
    allowed = _VALUE_TYPES[datatype]
    for value in data:
        if type(value) not in allowed:
            raise TypeError(f"{short(repr(value)[:40])} in {name} is no {datatype}")
        if type(value) is int and not -(2**63) <= value < 2**64:
            raise ValueError(f"a number in {name} has more than 64 bits")
    return list(data)
