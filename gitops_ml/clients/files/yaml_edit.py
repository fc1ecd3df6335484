"""Change a few values in YAML that people wrote, and nothing else: no comment, quote or blank line.

The text is cut at the positions that PyYAML's node tree gives. A round trip through a YAML writer would keep the
comments but change the layout, and a revert that touches lines which nobody changed cannot be reviewed.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.scanner import Scanner

from gitops_ml.clients.files.yaml_data import load, value_of
from gitops_ml.clients.files.yaml_scalars import DVC, TEXT, CoreResolver
from gitops_ml.errors import InputError

_AFTER = {"digest": "version"}
"""A new key goes below this one."""


class _Nodes(Reader, Scanner, Parser, Composer, CoreResolver):
    """PyYAML's composer with positions, and with the scalars of YAML 1.2."""

    def __init__(self, stream: str) -> None:
        Reader.__init__(self, stream)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        CoreResolver.__init__(self)


class _Edit(NamedTuple):
    start: int
    end: int
    text: str


def set_fields(text: str, fields: Mapping[str, Any], path: str = "the declaration") -> str:
    """Set each of `fields` in `text`, a YAML mapping. Every other byte stays.

    Args:
        fields: values by dotted key. A mapping as a value replaces the whole mapping there, key by key, so that equal
            values keep their comments. None removes the key.
        path: the file, for messages.

    Raises:
        InputError: `text` is no mapping, or is written in a way that cannot be edited safely.
    """
    for key, value in fields.items():
        text = _set(text, tuple(key.split(".")), _plain(value), path)
    return text


def get_field(text: str, key: str, path: str = "the declaration") -> Any:
    """Read the value at the dotted `key`; None where the key is absent. Raises InputError when `text` is no YAML."""
    value = load(text.encode(), path)
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _set(text: str, keys: tuple[str, ...], value: Any, path: str) -> str:
    before = load(text.encode(), path)
    if not isinstance(before, dict):
        raise InputError(f"{path} is no mapping", fix=f"edit {path}")
    wanted = _merged(before, keys, _as_read(value))
    if wanted == before:
        return text
    root = _Nodes(text).get_single_node()
    assert isinstance(root, yaml.MappingNode)
    edits = sorted(_edits(text, root, keys, value), reverse=True)
    edited = text
    for edit in edits:
        edited = edited[: edit.start] + edit.text + edited[edit.end :]
    try:
        after = load(edited.encode(), path)
    except InputError:
        after = None
    after = {} if after is None and not wanted else after
    if after != wanted:
        raise InputError(
            f"{path} cannot be edited by itself",
            why=f"{'.'.join(keys)} is written in a way that an edit would break",
            fix=f"set {'.'.join(keys)} to {value!r} in {path} by hand",
        )
    return edited


def _merged(data: Any, keys: tuple[str, ...], value: Any) -> Any:
    merged = dict(data) if isinstance(data, dict) else {}
    if len(keys) > 1:
        if value is None and keys[0] not in merged:
            return merged
        merged[keys[0]] = _merged(merged.get(keys[0]), keys[1:], value)
    elif value is None:
        merged.pop(keys[0], None)
    else:
        merged[keys[0]] = value
    return merged


def _edits(text: str, node: yaml.MappingNode, keys: tuple[str, ...], value: Any) -> Iterator[_Edit]:
    pairs = {k.value: (k, v) for k, v in node.value}
    rest = keys[1:]
    if keys[0] not in pairs:
        for key in reversed(rest):
            value = {key: value}
        yield _insert(text, node, keys[0], value)
        return
    key_node, child = pairs[keys[0]]
    if rest and isinstance(child, yaml.MappingNode) and value is None and _keys(child) == {rest[0]} and len(rest) == 1:
        yield _replace(text, key_node, child, {}, node)
    elif rest and isinstance(child, yaml.MappingNode) and (child.value or not child.flow_style):
        yield from _edits(text, child, rest, value)
    elif rest:
        for key in reversed(rest):
            value = {key: value}
        yield _replace(text, key_node, child, value, node)
    elif value is None:
        yield _remove(text, node, key_node, child)
    elif isinstance(value, dict) and value and isinstance(child, yaml.MappingNode) and not child.flow_style:
        yield from _remap(text, child, value)
    else:
        yield _replace(text, key_node, child, value, node)


def _remap(text: str, node: yaml.MappingNode, value: dict[str, Any]) -> Iterator[_Edit]:
    """Make a block mapping equal to `value`, touching only the keys that differ."""
    old = {k.value: (k, v) for k, v in node.value}
    kept = [key for key in old if key in value]
    if not kept:
        first, last = node.value[0][0], node.value[-1][1]
        start, end = _line_start(text, first.start_mark.index), _line_end(text, _content_end(last))
        indent = first.start_mark.column
        yield _Edit(start, end, _block(value, indent, _newline(text)))
        return
    for key, (key_node, child) in old.items():
        if key not in value:
            yield _remove(text, node, key_node, child)
        elif value_of(child) != _as_read(value[key]):
            yield from _edits(text, node, (key,), value[key])
    added = {k: v for k, v in value.items() if k not in old}
    if added:
        at = _line_end(text, max(_content_end(old[k][1]) for k in kept))
        indent = node.value[0][0].start_mark.column
        yield _Edit(at, at, _own_line(text, at) + _block(added, indent, _newline(text)))


def _insert(text: str, node: yaml.MappingNode, key: str, value: Any) -> _Edit:
    if node.flow_style:
        inner = value_of(node) | {key: value}
        return _Edit(node.start_mark.index, node.end_mark.index, _flow(inner))
    if not node.value:
        return _Edit(node.start_mark.index, node.end_mark.index, _flow({key: value}))
    pairs = {k.value: v for k, v in node.value}
    before = pairs.get(_AFTER.get(key, ""), node.value[-1][1])
    at = _line_end(text, _content_end(before))
    return _Edit(at, at, _own_line(text, at) + _block({key: value}, node.start_mark.column, _newline(text)))


def _remove(text: str, node: yaml.MappingNode, key_node: yaml.Node, child: yaml.Node) -> _Edit:
    if node.flow_style:
        inner = {k: v for k, v in value_of(node).items() if k != key_node.value}
        return _Edit(node.start_mark.index, node.end_mark.index, _flow(inner))
    end = _line_end(text, max(_content_end(child), key_node.end_mark.index))
    return _Edit(_line_start(text, key_node.start_mark.index), end, "")


def _replace(text: str, key_node: yaml.Node, child: yaml.Node, value: Any, node: yaml.MappingNode) -> _Edit:
    start, end = child.start_mark.index, _content_end(child)
    if isinstance(child, yaml.ScalarNode) and start == end:  # `key:` with nothing after it
        colon = text.index(":", key_node.end_mark.index) + 1
        return _Edit(colon, colon, f" {_one_line(value)}")
    block = isinstance(child, yaml.CollectionNode) and not child.flow_style
    in_flow = bool(node.flow_style) or _in_flow(child)
    if block or (isinstance(value, dict | list) and not in_flow):
        # A value of several lines is written again from its key on.
        start = text.index(":", key_node.end_mark.index) + 1
        if isinstance(value, dict) and value:
            end = _line_end(text, end)
            newline = _newline(text)
            return _Edit(start, end, newline + _block(value, node.start_mark.column + 2, newline))
        return _Edit(start, end, f" {_one_line(value)}")
    if isinstance(value, dict | list):
        return _Edit(start, end, _flow(value))
    style = child.style if isinstance(child, yaml.ScalarNode) else None
    return _Edit(start, end, _scalar(value, style, flow=bool(node.flow_style)))


def _keys(node: yaml.MappingNode) -> set[str]:
    return {key.value for key, _ in node.value}


def _in_flow(node: yaml.Node) -> bool:
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _content_end(node: yaml.Node) -> int:
    """Where a node's own text ends. PyYAML ends a block collection only at the next token, past comments."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if isinstance(last, tuple):
            return max(_content_end(last[1]), int(last[0].end_mark.index) + 1)
        return _content_end(last)
    if isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"):
        buffer = node.end_mark.buffer or ""
        end = int(node.end_mark.index)
        while end and buffer[end - 1 : end] in ("\n", "\r", " "):
            end -= 1
        return end
    return int(node.end_mark.index)


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end + 1


def _own_line(text: str, at: int) -> str:
    """The line end that a new line at `at` needs before it, where the file's last line has none."""
    return _newline(text) if at and not text[:at].endswith("\n") else ""


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _block(value: Mapping[str, Any], indent: int, newline: str) -> str:
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(f"{' ' * indent}{_scalar(key)}:{newline}{_block(item, indent + 2, newline)}")
        else:
            lines.append(f"{' ' * indent}{_scalar(key)}: {_one_line(item)}{newline}")
    return "".join(lines)


def _one_line(value: Any) -> str:
    return _flow(value) if isinstance(value, dict | list) else _scalar(value)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(k)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(v) for v in value) + "]"
    return _scalar(value, flow=True)


def _scalar(value: Any, style: str | None = None, flow: bool = False) -> str:
    if isinstance(value, datetime.datetime):
        return _moment(value)
    kept = style if style in ("'", '"') and isinstance(value, str) else None
    if kept is None and isinstance(value, str) and DVC.tag_of(value) != TEXT:
        kept = "'"  # PyYAML writes YAML 1.1, where `1e5` is text
    written: str = yaml.safe_dump(
        [value] if flow else value,
        default_style=kept,
        default_flow_style=flow,
        width=1 << 30,
        allow_unicode=True,
    )
    written = written.removesuffix("\n").removesuffix("\n...")
    return written.removeprefix("[").removesuffix("]") if flow else written


def _plain(value: Any) -> Any:
    """`value` with tuples as lists, as YAML reads them back."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _as_read(value: Any) -> Any:
    """`value` as `load` reads it back: times as text."""
    if isinstance(value, dict):
        return {key: _as_read(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_as_read(item) for item in value]
    return _moment(value) if isinstance(value, datetime.datetime) else value


def _moment(time: datetime.datetime) -> str:
    return (time.astimezone(datetime.UTC) if time.tzinfo else time).strftime("%Y-%m-%dT%H:%M:%SZ")
