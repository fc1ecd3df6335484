"""The form in which a value of the wrong type would be accepted, for the error that refuses it.

A person who writes `start_timeout: 90` or `rollout: canary` is told what to write instead. What is proposed was read by
the same types as the file, so it works.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec

from gitops_ml.artifacts.decoding import convert
from gitops_ml.core.declaration.values import DURATION_PATTERN, SHARE_PATTERN, SIZE_PATTERN

_UNITS = {DURATION_PATTERN: "s", SIZE_PATTERN: "m", SHARE_PATTERN: "%"}
_BOOLEANS = {"yes": True, "on": True, "true": True, "no": False, "off": False, "false": False}
_PLAIN = re.compile(r"[A-Za-z/][\w./-]*|[0-9.]+(ms|[smhdkg%])")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off"}


def form_that_works(value: Any, place: str, kind: type, expected: Any) -> str:
    """How the value at a place of a file would be accepted, as YAML in one line; empty where that is not known.

    Args:
        value: the whole file as plain data.
        place: msgspec's path of what it refused, such as `$.serve.start_timeout`.
        kind: the type of the file.
        expected: the description of the place's type, by `msgspec.inspect`.
    """
    keys = [int(index) if index else key for key, index in re.findall(r"\.([^.\[]+)|\[(\d+)\]", place)]
    try:
        written = value
        for key in keys:
            written = written[key]
    except (LookupError, TypeError):
        return ""
    if not keys:
        return ""
    for candidate in _candidates(expected, written):
        if candidate is not None and _is_accepted(value, keys, candidate, kind, place):
            return _yaml(candidate)
    return ""


def _candidates(expected: Any, written: Any) -> Iterator[Any]:
    if isinstance(expected, msgspec.inspect.Metadata):
        yield from _candidates(expected.type, written)
    elif isinstance(expected, msgspec.inspect.UnionType):
        for each in expected.types:
            yield from _candidates(each, written)
    elif isinstance(expected, msgspec.inspect.StrType) and isinstance(written, bool):
        yield str(written).lower()
    elif isinstance(expected, msgspec.inspect.StrType) and isinstance(written, int | float):
        yield f"{written}{_UNITS.get(expected.pattern or '', '')}"
    elif isinstance(expected, msgspec.inspect.BoolType) and isinstance(written, str):
        yield _BOOLEANS.get(written.lower())
    elif isinstance(expected, msgspec.inspect.IntType | msgspec.inspect.FloatType) and isinstance(written, str | float):
        yield _number(written)
    elif isinstance(expected, msgspec.inspect.VarTupleType | msgspec.inspect.ListType):
        yield [written]
    elif isinstance(expected, msgspec.inspect.StructType):
        for field in expected.fields:
            yield {field.encode_name: written}


def _number(written: str | float) -> int | float | None:
    try:
        number = float(written)
    except ValueError:
        return None
    return int(number) if number.is_integer() else number


def _is_accepted(whole: Any, keys: list[Any], candidate: Any, kind: type, place: str) -> bool:
    """Whether the file is accepted with the candidate in that place, as far as that place goes."""
    changed = copy.deepcopy(whole)
    around = changed
    for key in keys[:-1]:
        around = around[key]
    around[keys[-1]] = candidate
    try:
        convert(changed, kind)
    except msgspec.ValidationError as error:
        match = re.search(r"`([^`]*)`$", str(error))
        return match is not None and not f"{match[1]}.".startswith(f"{place}.")
    return True


def _yaml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_yaml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
