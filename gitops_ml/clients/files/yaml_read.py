"""Reading the YAML that people write, so strictly that a mistake names its file, its line and the nearest valid key.

PyYAML's node tree gives the lines; msgspec's types in `core.desired` give what is allowed. Aliases are refused (a bomb
of them fits into a few lines), and so are files over 256 KiB, deep nesting (PyYAML's composer recurses in C, and takes
the process with it), duplicate keys and anything that is not plain data.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import yaml

from gitops_ml.core.declaration.schema import RESERVED
from gitops_ml.core.declaration.values import (
    BRANCH_PATTERN,
    DIGEST_PATTERN,
    DURATION_PATTERN,
    ENGINE_PATTERN,
    ENV_PATTERN,
    NAME_PATTERN,
    PATH_PATTERN,
    SHARE_PATTERN,
    SIZE_PATTERN,
    TEXT_PATTERN,
)
from gitops_ml.errors import InputError

T = TypeVar("T")
MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN: dict[str, Callable[[str], Any]] = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:timestamp": str,
    "tag:yaml.org,2002:int": lambda text: int(text.replace("_", ""), 0),
    "tag:yaml.org,2002:float": lambda text: _finite(text.replace("_", "")),
    "tag:yaml.org,2002:bool": lambda text: text.lower() in ("true", "yes", "on"),
    "tag:yaml.org,2002:null": lambda _: None,
}
_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_Lines = dict[str, int]


def parse(data: bytes, path: str, kind: type[T]) -> T:
    """A file's content as `kind`. Raises `InputError` with file, line and, for an unknown key, the nearest valid."""
    value, lines = plain(data, path)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(error, path, value, lines, kind) from error


def plain(data: bytes, path: str) -> tuple[Any, _Lines]:
    """A YAML file as plain data, and the line of each place in it, by path (`$.rollout.steps[0]`)."""
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{path} has {len(data)} bytes",
            why=f"at most {MAX_BYTES} are read",
            fix="make it smaller",
        )
    try:
        text = data.decode()
        _require_flat(text, path)
        node = yaml.compose(text, Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        reason = " ".join((getattr(error, "problem", None) or str(error)).split())
        raise InputError(f"{path}{at} is not valid YAML", why=reason, fix=f"edit {path}") from error
    if node is None:
        raise InputError(f"{path} is empty", fix="write it, or remove the file")
    lines: _Lines = {}
    return _value(node, "$", path, lines), lines


def _require_flat(text: str, path: str) -> None:
    """Refuse aliases and deep nesting before anything is built from them."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise InputError(f"{path}:{line} uses a YAML alias", why="aliases are refused", fix="write the value out")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InputError(
                f"{path}:{line} is nested too deep", why=f"at most {MAX_DEPTH} levels are read", fix=f"edit {path}"
            )


def _value(node: yaml.Node, place: str, path: str, lines: _Lines) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    convert = _PLAIN.get(node.tag)
    if convert is None and node.tag not in _COLLECTIONS:
        raise InputError(
            f"{path}:{line} has the tag {node.tag}",
            why="only plain data is read",
            fix="take the tag away",
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, path, lines)
    if isinstance(node, yaml.SequenceNode):
        return [_value(n, f"{place}[{i}]", path, lines) for i, n in enumerate(node.value)]
    try:
        return convert(node.value) if convert else node.value
    except OverflowError as error:
        raise InputError(f"{path}:{line}: `{node.value[:40]}` is not a finite number", fix=f"edit {path}") from error
    except ValueError as error:
        raise InputError(f"{path}:{line}: `{node.value[:40]}` is not a number", fix="put it in quotes") from error


def _finite(text: str) -> float:
    """YAML's `.nan` and `.inf`, and what is too large for a float, raise `OverflowError`."""
    value = float(re.sub(r"\.(?=inf$|nan$)", "", text.lower()))
    if not math.isfinite(value):
        raise OverflowError(text)
    return value


def _mapping(node: yaml.MappingNode, place: str, path: str, lines: _Lines) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            raise InputError(f"{path}:{line} has a key that is not plain text", fix="use plain keys")
        if key.value in found:
            raise InputError(f"{path}:{line} says `{key.value}` twice", fix="keep one of them")
        lines[f"{place}.{key.value}"] = line
        found[key.value] = _value(value, f"{place}.{key.value}", path, lines)
    return found


def _explained(error: msgspec.ValidationError, path: str, value: Any, lines: _Lines, kind: type) -> InputError:
    text = str(error)
    match = re.search(r" - at `(?P<key>key` in `)?(?P<place>[^`]*)`$", text)
    place = match["place"] if match else "$"
    reason = text[: match.start()] if match else text
    if match and match["key"]:
        place += "[...]"
    place = _exact(place, text, value, kind)
    absent = re.search(r"missing required field `(?P<key>[^`]*)`", reason)
    if absent:
        where = f"`{absent['key']}` is missing"
        return InputError(f"{path}:{_line_of(place, lines)}: {where}", why="it is required", fix=f"edit {path}")
    unknown = re.search(r"unknown field `(?P<key>[^`]*)`", reason)
    if not unknown:
        where = place.removeprefix("$").lstrip(".") or "the file"
        said = _reason(reason) + _choice(reason, _type_at(place, kind))
        return InputError(f"{path}:{_line_of(place, lines)}: {where}", why=said, fix=f"edit {path}")
    key = unknown["key"]
    valid = _keys_at(place, kind)
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    advice = f"did you mean `{near[0]}`?" if near else f"valid here: {', '.join(sorted(valid))}"
    line = _line_of(f"{place}.{key}", lines)
    if key in RESERVED and place == "$.resources":
        return InputError(f"{path}:{line}: `{key}` is reserved", why=RESERVED[key], fix=f"take it out of {path}")
    return InputError(f"{path}:{line}: unknown key `{key}`", why=advice, fix=f"edit {path}")


def _exact(place: str, text: str, value: Any, kind: type) -> str:
    """The place with the key that msgspec leaves out of it: the first one that gives the same error by itself."""
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
                msgspec.convert(value, kind)
            except msgspec.ValidationError as error:
                if str(error) == text:
                    return f"{before}.{key}{after}"
        return place
    finally:
        around[last] = whole


def _reason(text: str) -> str:
    """msgspec's reason, with what people meet most said in words."""
    for pattern, words in (
        (NAME_PATTERN, "a DNS label: a-z, 0-9 and -, at most 40 characters"),
        (ENV_PATTERN, "a name of letters, digits and _ that does not begin with a digit"),
        (DURATION_PATTERN, "a duration such as 30s"),
        (SIZE_PATTERN, "a size such as 512m"),
        (ENGINE_PATTERN, "an engine's address: unix:///path/to/socket, ssh://user@host or tcp://host:port"),
        (PATH_PATTERN, "the absolute path of a file on the engine's host"),
        (TEXT_PATTERN, "text without a NUL"),
        (BRANCH_PATTERN, "the name of a branch, as Git takes it"),
        (SHARE_PATTERN, "a share from 0% to 100%"),
        (DIGEST_PATTERN, "what `gitops-ml bump` wrote: md5: and 32 hexadecimal digits"),
    ):
        if repr(pattern) in text:
            return f"it must be {words}"
    if re.fullmatch(r"Expected `str`, got `(int|float|bool)`", text):
        return f"{text[:1].lower()}{text[1:]}: put it in quotes"
    if "RFC3339" in text:
        return "it must be a time with its zone, such as 2026-12-01T00:00:00Z"
    return text[:1].lower() + text[1:]


def _line_of(place: str, lines: _Lines) -> int:
    """The line of a place; of the nearest place around it where it has none. `[...]` stands for any key of a map."""
    while place:
        pattern = re.compile(re.escape(place).replace(re.escape("[...]"), r"(\.[^.\[]+|\[\d+\])"))
        found = [line for known, line in lines.items() if pattern.fullmatch(known)]
        if found:
            return min(found)
        place = re.sub(r"(\.[^.\[\]]*|\[[^\]]*\])$", "", place) if re.search(r"[.\[]", place) else ""
    return 1


def _choice(reason: str, found: Any) -> str:
    """The values that a place allows, where it allows only some."""
    while isinstance(found, msgspec.inspect.UnionType):
        found = _first(found, msgspec.inspect.LiteralType)
    if "invalid enum value" not in reason.lower() or not isinstance(found, msgspec.inspect.LiteralType):
        return ""
    return f"; valid here: {', '.join(str(value) for value in found.values)}"


def _keys_at(place: str, kind: type) -> list[str]:
    """The keys that the struct at a place of `kind` knows."""
    found = _type_at(place, kind)
    while isinstance(found, msgspec.inspect.UnionType):
        found = _first(found, msgspec.inspect.StructType)
    return [f.encode_name for f in found.fields] if isinstance(found, msgspec.inspect.StructType) else []


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
