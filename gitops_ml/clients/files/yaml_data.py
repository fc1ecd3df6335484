"""YAML as plain data: the only reader of YAML that other people wrote.

The reader goes through PyYAML's parser events and never through its composer, which recurses in C and takes the
process with it where a text is nested deep enough. Bytes, nesting, and what aliases expand to are bounded.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from gitops_ml.clients.files.yaml_scalars import DVC, TAG, TEXT, Dialect
from gitops_ml.errors import InputError

MAX_DEPTH = 32
"""Levels of nesting."""
MAX_ALIASED = 100_000
"""Values that all aliases of a document may stand for."""

Lines = dict[str, int]
"""The line of each place of a document, by path: `$.rollout.steps[0]`."""

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE = "<<"
_COLLECTIONS: dict[type[Event], str] = {MappingStartEvent: f"{TAG}map", SequenceStartEvent: f"{TAG}seq"}


def load(data: bytes, path: str, dialect: Dialect = DVC) -> Any:
    """A YAML document as plain data, with text as keys; None for an empty one.

    Raises `InputError` with file and line for what is no YAML, too large, too deep, or no plain data.
    """
    return _read(data, path, dialect, None)


def lines_of(data: bytes, path: str, dialect: Dialect = DVC) -> Lines:
    """The line of each place of a document. Raises as `load`."""
    lines: Lines = {}
    _read(data, path, dialect, lines)
    return lines


def value_of(node: yaml.Node) -> Any:
    """The plain data of a node whose tags `CoreResolver` gave, as `load` reads it. The document's depth is bounded."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: value_of(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [value_of(item) for item in node.value]
    return DVC.convert.get(node.tag, str)(node.value)


def _read(data: bytes, path: str, dialect: Dialect, lines: Lines | None) -> Any:
    if len(data) > dialect.max_bytes:
        raise InputError(
            f"{path} has {len(data)} bytes", why=f"at most {dialect.max_bytes} are read", fix="make it smaller"
        )
    try:
        return _Builder(path, dialect, lines).build(data.decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 1}" if mark else ""
        reason = " ".join((getattr(error, "problem", None) or str(error)).split())
        raise InputError(f"{path}{at} is not valid YAML", why=reason, fix=f"edit {path}") from error


class _Anchored(NamedTuple):
    """What an anchor names: the value, how many values are in it, and how many levels."""

    value: Any
    size: int
    height: int


class _Open:
    """A mapping or a sequence whose end is not read yet."""

    def __init__(self, event: CollectionStartEvent, place: str) -> None:
        self.items: list[Any] = []
        self.mapping: dict[str, Any] | None = {} if isinstance(event, MappingStartEvent) else None
        self.key: str | None = None
        self.merged: list[Any] = []
        self.anchor = event.anchor
        self.place = place
        self.size = self.height = 1

    def add(self, value: Any, size: int = 1, height: int = 0) -> None:
        self.size += size
        self.height = max(self.height, height + 1)
        if self.mapping is None:
            self.items.append(value)
        elif self.key is not None:
            if self.key == _MERGE:
                self.merged.append(value)
            else:
                self.mapping[self.key] = value
            self.key = None

    def value(self) -> Any:
        if self.mapping is None:
            return self.items
        if not self.merged:
            return self.mapping
        merged: dict[str, Any] = {}
        for source in self.merged:
            for part in reversed(source if isinstance(source, list) else [source]):
                merged |= part
        return merged | self.mapping


class _Builder:
    """Builds the plain data of one document from its events, without recursion."""

    def __init__(self, path: str, dialect: Dialect, lines: Lines | None) -> None:
        self._path = path
        self._dialect = dialect
        self._lines = lines
        self._open: list[_Open] = []
        self._anchors: dict[str, _Anchored] = {}
        self._aliased = 0
        self._root: Any = None
        self._documents = 0

    def build(self, text: str) -> Any:
        for event in yaml.parse(text, Loader=_Parser):
            if isinstance(event, ScalarEvent):
                self._scalar(event)
            elif isinstance(event, CollectionStartEvent):
                self._begin(event)
            elif isinstance(event, CollectionEndEvent):
                self._end(event)
            elif isinstance(event, AliasEvent):
                self._alias(event)
            elif isinstance(event, DocumentStartEvent):
                self._documents += 1
                if self._documents > 1:
                    raise self._error(event, " is not valid YAML", "but found another document", f"edit {self._path}")
        return self._root

    def _scalar(self, event: ScalarEvent) -> None:
        inside = self._open[-1] if self._open else None
        if inside is not None and inside.mapping is not None and inside.key is None:
            self._key(inside, event)
            return
        if self._lines is not None:
            self._lines.setdefault(self._place(), _line(event))
        value = self._convert(event)
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(value, 1, 0)
        self._add(value, 1, 0)

    def _key(self, inside: _Open, event: ScalarEvent) -> None:
        assert inside.mapping is not None
        merges = event.value == _MERGE and self._dialect.aliases and event.implicit[0]
        if event.value == _MERGE and not merges:
            raise self._error(event, " has a key that is not plain text", "", "use plain keys")
        if event.value in inside.mapping:
            raise self._error(event, f" says `{event.value[:80]}` twice", "", "keep one of them")
        if event.anchor:
            self._anchors[event.anchor] = _Anchored(event.value, 1, 0)
        if self._lines is not None:
            self._lines[f"{inside.place}.{event.value}"] = _line(event)
        inside.key = event.value

    def _convert(self, event: ScalarEvent) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            tag = self._dialect.tag_of(event.value) if tag is None and event.implicit[0] else TEXT
        convert = self._dialect.convert.get(tag)
        if convert is None:
            raise self._error(event, f" has the tag {tag}", "only plain data is read", "take the tag away")
        shown = event.value[:40]
        try:
            return convert(event.value)
        except OverflowError:
            raise self._error(event, f": `{shown}` is not a finite number", "", f"edit {self._path}") from None
        except ValueError:
            raise self._error(event, f": `{shown}` is not a number", "", "put it in quotes") from None

    def _begin(self, event: CollectionStartEvent) -> None:
        if self._awaits_key():
            raise self._error(event, " has a key that is not plain text", "", "use plain keys")
        if event.tag not in (None, "!", _COLLECTIONS[type(event)]):
            raise self._error(event, f" has the tag {event.tag}", "only plain data is read", "take the tag away")
        if len(self._open) == MAX_DEPTH:
            raise self._too_deep(event)
        place = self._place()
        if self._lines is not None:
            self._lines.setdefault(place, _line(event))
        self._open.append(_Open(event, place))

    def _end(self, event: Event) -> None:
        ended = self._open.pop()
        if any(not isinstance(part, dict) for source in ended.merged for part in _parts(source)):
            raise self._error(
                event, " merges what is no mapping", "", "name a mapping, or a list of mappings, after <<"
            )
        value = ended.value()
        if ended.anchor:
            self._anchors[ended.anchor] = _Anchored(value, ended.size, ended.height)
        self._add(value, ended.size, ended.height)

    def _alias(self, event: AliasEvent) -> None:
        if not self._dialect.aliases:
            raise self._error(event, " uses a YAML alias", "aliases are refused", "write the value out")
        name = event.anchor or ""
        anchored = self._anchors.get(name)
        if anchored is None:
            raise self._error(event, f": the alias *{name[:40]} names nothing above it", "", "write the value out")
        self._aliased += anchored.size
        if self._aliased > MAX_ALIASED:
            raise self._error(
                event,
                " expands to too much",
                f"aliases may stand for {MAX_ALIASED} values in all",
                "write the values out",
            )
        if len(self._open) + anchored.height > MAX_DEPTH:
            raise self._too_deep(event)
        if self._awaits_key():
            raise self._error(event, " has a key that is not plain text", "", "use plain keys")
        self._add(anchored.value, anchored.size, anchored.height)

    def _awaits_key(self) -> bool:
        return bool(self._open) and self._open[-1].mapping is not None and self._open[-1].key is None

    def _add(self, value: Any, size: int, height: int) -> None:
        if self._open:
            self._open[-1].add(value, size, height)
        else:
            self._root = value

    def _place(self) -> str:
        if self._lines is None or not self._open:
            return "$"
        inside = self._open[-1]
        return f"{inside.place}[{len(inside.items)}]" if inside.mapping is None else f"{inside.place}.{inside.key}"

    def _too_deep(self, event: Event) -> InputError:
        return self._error(event, " is nested too deep", f"at most {MAX_DEPTH} levels are read", f"edit {self._path}")

    def _error(self, event: Event, what: str, why: str, fix: str) -> InputError:
        return InputError(f"{self._path}:{_line(event)}{what}", why=why, fix=fix)


def _parts(source: Any) -> list[Any]:
    return source if isinstance(source, list) else [source]


def _line(event: Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
