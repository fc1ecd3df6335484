"""Reading the YAML that people write, so strictly that a mistake names its file, its line and the nearest valid key.

PyYAML's node tree gives the lines; msgspec's types in `core.desired` give what is allowed. Aliases are refused (a bomb
of them fits into a few lines), and so are files over 256 KiB, duplicate keys and anything that is not plain data.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, TypeVar

import msgspec
import yaml

from gitops_ml.core.desired import DURATION_PATTERN, NAME_PATTERN, SIZE_PATTERN
from gitops_ml.errors import InputError

T = TypeVar("T")
MAX_BYTES = 256 * 1024
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN = {
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:timestamp": str,
    "tag:yaml.org,2002:int": lambda text: int(text.replace("_", ""), 0),
    "tag:yaml.org,2002:float": lambda text: float(text.replace("_", "")),
    "tag:yaml.org,2002:bool": lambda text: text.lower() in ("true", "yes", "on"),
    "tag:yaml.org,2002:null": lambda _: None,
}


def parse(data: bytes, path: str, kind: type[T]) -> T:
    """A file's content as `kind`. Raises `InputError` with file, line and, for an unknown key, the nearest valid one."""
    value, lines = plain(data, path)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(error, path, lines, kind) from error


def plain(data: bytes, path: str) -> tuple[Any, dict[str, int]]:
    """A YAML file as plain data, and the line of each place in it, by path (`$.rollout.steps[0]`)."""
    if len(data) > MAX_BYTES:
        raise InputError(
            f"{path} has {len(data)} bytes",
            why=f"at most {MAX_BYTES} are read",
            mend="make it smaller",
        )
    try:
        node = yaml.compose(data.decode(), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error)
        raise InputError(f"{path}{at} is not valid YAML", why=reason, mend=f"edit {path}") from error
    if node is None:
        raise InputError(f"{path} is empty", mend="write it, or remove the file")
    lines: dict[str, int] = {}
    return _value(node, "$", path, lines, set()), lines


def _value(node: yaml.Node, place: str, path: str, lines: dict[str, int], seen: set[int]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if id(node) in seen:
        raise InputError(
            f"{path}:{line} uses a YAML alias",
            why="aliases are refused",
            mend="write the value out",
        )
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, place, path, lines, seen)
    if isinstance(node, yaml.SequenceNode):
        return [_value(n, f"{place}[{i}]", path, lines, seen) for i, n in enumerate(node.value)]
    convert = _PLAIN.get(node.tag)
    if convert is None:
        raise InputError(
            f"{path}:{line} has the tag {node.tag}",
            why="only plain data is read",
            mend="take the tag away",
        )
    try:
        return convert(node.value)
    except ValueError as error:
        raise InputError(f"{path}:{line}: `{node.value}` is not a number", mend="put it in quotes") from error


def _mapping(node: yaml.MappingNode, place: str, path: str, lines: dict[str, int], seen: set[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.value == "<<":
            raise InputError(f"{path}:{line} has a key that is not plain text", mend="use plain keys")
        if key.value in found:
            raise InputError(f"{path}:{line} says `{key.value}` twice", mend="keep one of them")
        lines[f"{place}.{key.value}"] = line
        found[key.value] = _value(value, f"{place}.{key.value}", path, lines, seen)
    return found


def _explained(error: msgspec.ValidationError, path: str, lines: dict[str, int], kind: type) -> InputError:
    text = str(error)
    match = re.search(r" - at `(key in )?(?P<place>[^`]*)`$", text)
    place = match["place"] if match else "$"
    reason = text[: match.start()] if match else text
    unknown = re.search(r"unknown field `(?P<key>[^`]*)`", reason)
    if not unknown:
        where = place.removeprefix("$").lstrip(".") or "the file"
        line = _line_of(place, lines)
        return InputError(f"{path}:{line}: {where}", why=_reason(reason), mend=f"edit {path}")
    key = unknown["key"]
    valid = _keys_at(place, kind)
    near = difflib.get_close_matches(key, valid, n=1, cutoff=0.5)
    advice = f"did you mean `{near[0]}`?" if near else f"valid here: {', '.join(sorted(valid))}"
    line = _line_of(f"{place}.{key}", lines)
    return InputError(f"{path}:{line}: unknown key `{key}`", why=advice, mend=f"edit {path}")


def _reason(text: str) -> str:
    """msgspec's reason, with the patterns that people meet most said in words."""
    for pattern, words in (
        (NAME_PATTERN, "a DNS label: a-z, 0-9 and -, at most 40 characters"),
        (DURATION_PATTERN, "a duration such as 30s"),
        (SIZE_PATTERN, "a size such as 512m"),
    ):
        if repr(pattern) in text:
            return f"it must be {words}"
    return text[:1].lower() + text[1:]


def _line_of(place: str, lines: dict[str, int]) -> int:
    """The line of a place; of the nearest place around it where it has none. `[...]` stands for any key of a map."""
    while place:
        pattern = re.compile(re.escape(place).replace(re.escape("[...]"), r"(\.[^.\[]+|\[\d+\])"))
        found = [line for known, line in lines.items() if pattern.fullmatch(known)]
        if found:
            return min(found)
        place = re.sub(r"(\.[^.\[\]]*|\[[^\]]*\])$", "", place) if re.search(r"[.\[]", place) else ""
    return 1


def _keys_at(place: str, kind: type) -> list[str]:
    """The keys that the struct at a place of `kind` knows."""
    current: Any = msgspec.inspect.type_info(kind)
    for key in re.findall(r"\.([^.\[]+)|\[", place.removeprefix("$").replace("[...]", "[")):
        current = _inside(current, key)
    while isinstance(current, msgspec.inspect.UnionType):
        current = next(
            (t for t in current.types if isinstance(t, msgspec.inspect.StructType)),
            None,
        )
    if not isinstance(current, msgspec.inspect.StructType):
        return []
    return [f.encode_name for f in current.fields]


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
