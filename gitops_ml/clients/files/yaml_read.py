"""YAML files as typed values, read so strictly that a mistake names its file, its line and the nearest valid key.

msgspec's types say what is allowed. The lines are looked up only once something is wrong.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from gitops_ml.artifacts.decoding import convert
from gitops_ml.clients.files.yaml_data import Lines, lines_of, load
from gitops_ml.clients.files.yaml_forms import form_that_works
from gitops_ml.clients.files.yaml_scalars import OWN, Dialect
from gitops_ml.core.declaration.application import COMMIT_PATTERN, FOLDER_PATTERN, MODEL_PATH_PATTERN
from gitops_ml.core.declaration.values import (
    BRANCH_PATTERN,
    DIGEST_PATTERN,
    DURATION_PATTERN,
    ENGINE_PATTERN,
    ENV_PATTERN,
    MODEL_PATTERN,
    NAME_PATTERN,
    PATH_PATTERN,
    SHARE_PATTERN,
    SIZE_PATTERN,
    TEXT_PATTERN,
    URL_PATH_PATTERN,
    VERSION_PATTERN,
)
from gitops_ml.errors import InputError
from gitops_ml.suggest import did_you_mean

T = TypeVar("T")


def parse(data: bytes, path: str, kind: type[T], dialect: Dialect = OWN) -> T:
    """Read a file's content as `kind`. An empty file is an empty mapping for DVC, and an error in a declaration.

    Raises `InputError` with file, line and, for an unknown key, the nearest valid one.
    """
    value = load(data, path, dialect)
    if value is None:
        if dialect is OWN:
            raise InputError(f"{path} is empty", fix="write it, or remove the file")
        value = {}
    try:
        return convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explain(error, path, value, lines_of(data, path, dialect), kind) from error


def _explain(error: msgspec.ValidationError, path: str, value: Any, lines: Lines, kind: type) -> InputError:
    """Say in words what msgspec found wrong, and where."""
    text = str(error)
    match = re.search(r" - at `(?P<key>key` in `)?(?P<place>[^`]*)`$", text)
    place = match["place"] if match else "$"
    reason = text[: match.start()] if match else text
    if match and match["key"]:
        place += "[...]"
    place = _with_key(place, text, value, kind)
    absent = re.search(r"missing required field `(?P<key>[^`]*)`", reason)
    if absent:
        where = f"`{absent['key']}` is missing"
        return InputError(f"{path}:{_line_of(place, lines)}: {where}", why="it is required", fix=f"edit {path}")
    unknown = re.search(r"unknown field `(?P<key>[^`]*)`", reason)
    if not unknown:
        where = place.removeprefix("$").lstrip(".") or "the file"
        expected = _type_at(place, kind)
        why = _reason(reason) + _choices(reason, expected)
        form = form_that_works(value, place, kind, expected) if reason.startswith("Expected `") else ""
        why = f"{why}: write {form}" if form else why
        return InputError(f"{path}:{_line_of(place, lines)}: {where}", why=why, fix=f"edit {path}")
    key = unknown["key"]
    valid = _keys_at(place, kind)
    advice = did_you_mean(key, valid, cutoff=0.5) or f"valid here: {', '.join(sorted(valid))}"
    line = _line_of(f"{place}.{key}", lines)
    return InputError(f"{path}:{line}: unknown key `{key}`", why=advice, fix=f"edit {path}")


def _with_key(place: str, text: str, value: Any, kind: type) -> str:
    """Complete a place in which msgspec says `[...]` for a key: the first key that gives the same error by itself."""
    before, dots, after = place.partition("[...]")
    around: Any = value
    *outer, last = ["$", *before.removeprefix("$").strip(".").split(".")]
    for key in outer[1:]:
        around = around.get(key) if isinstance(around, dict) else None
    whole = around.get(last) if isinstance(around, dict) else None
    if not dots or not isinstance(whole, dict):
        return place
    try:
        for key in whole:
            around[last] = {key: whole[key]}
            try:
                convert(value, kind)
            except msgspec.ValidationError as error:
                if str(error) == text:
                    return f"{before}.{key}{after}"
        return place
    finally:
        around[last] = whole


def _reason(text: str) -> str:
    """msgspec's reason, in words for the patterns that people meet most."""
    for pattern, words in (
        (NAME_PATTERN, "a DNS label: a-z, 0-9 and -, at most 40 characters"),
        (MODEL_PATTERN, "a name under artifacts: in dvc.yaml, as FOLDER:NAME where that dvc.yaml is not in the root"),
        (ENV_PATTERN, "a name of letters, digits and _ that does not begin with a digit"),
        (DURATION_PATTERN, "a duration such as 30s"),
        (SIZE_PATTERN, "a size such as 512m"),
        (ENGINE_PATTERN, "an engine's address: unix:///path/to/socket, ssh://user@host or tcp://host:port"),
        (PATH_PATTERN, "the absolute path of a file on the engine's host"),
        (TEXT_PATTERN, "text without a NUL"),
        (FOLDER_PATTERN, "a path of the repository below its root, and not in environments/"),
        (MODEL_PATH_PATTERN, "a folder in the container, not below /tmp, /proc, /sys, /dev or /run"),
        (COMMIT_PATTERN, "a full commit id"),
        (BRANCH_PATTERN, "the name of a branch, as Git takes it"),
        (SHARE_PATTERN, "a share from 0% to 100%"),
        (VERSION_PATTERN, "a tag of the model such as v1.2.0, or a Git revision, in one line"),
        (URL_PATH_PATTERN, "the path of a URL, such as /healthz, at most 200 characters"),
        (DIGEST_PATTERN, "what `gitops-ml bump` wrote: md5: and 32 hexadecimal digits"),
    ):
        if repr(pattern) in text:
            return f"it must be {words}"
    if "RFC3339" in text:
        return "it must be a time with its zone, such as 2026-12-01T00:00:00Z"
    return text[:1].lower() + text[1:]


def _line_of(place: str, lines: Lines) -> int:
    """The line of a place, else of the nearest place around it. `[...]` stands for any key of a mapping."""
    while place:
        pattern = re.compile(re.escape(place).replace(re.escape("[...]"), r"(\.[^.\[]+|\[\d+\])"))
        matches = [line for other, line in lines.items() if pattern.fullmatch(other)]
        if matches:
            return min(matches)
        place = re.sub(r"(\.[^.\[\]]*|\[[^\]]*\])$", "", place) if re.search(r"[.\[]", place) else ""
    return 1


def _choices(reason: str, expected: Any) -> str:
    """The valid values, where only some are."""
    while isinstance(expected, msgspec.inspect.UnionType):
        expected = _first(expected, msgspec.inspect.LiteralType)
    if "invalid enum value" not in reason.lower() or not isinstance(expected, msgspec.inspect.LiteralType):
        return ""
    return f"; valid here: {', '.join(str(value) for value in expected.values)}"


def _keys_at(place: str, kind: type) -> list[str]:
    """The valid keys of the struct at a place of `kind`."""
    expected = _type_at(place, kind)
    while isinstance(expected, msgspec.inspect.UnionType):
        expected = _first(expected, msgspec.inspect.StructType)
    return [f.encode_name for f in expected.fields] if isinstance(expected, msgspec.inspect.StructType) else []


def _type_at(place: str, kind: type) -> Any:
    current: Any = msgspec.inspect.type_info(kind)
    for key in re.findall(r"\.([^.\[]+)|\[", place.removeprefix("$").replace("[...]", "[")):
        current = _inside(current, key)
    return current


def _first(union: msgspec.inspect.UnionType, kind: type) -> Any:
    return next((t for t in union.types if isinstance(t, kind)), None)


def _inside(current: Any, key: str) -> Any:
    if isinstance(current, msgspec.inspect.UnionType):
        current = next(
            (t for t in current.types if not isinstance(t, msgspec.inspect.NoneType)),
            None,
        )
    if isinstance(current, msgspec.inspect.StructType):
        return next((f.type for f in current.fields if f.encode_name == key), None)
    if isinstance(current, msgspec.inspect.DictType):
        return current.value_type
    return getattr(current, "item_type", None)
