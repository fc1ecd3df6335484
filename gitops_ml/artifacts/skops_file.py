"""Writes skops files whose bytes depend on the model alone.

skops names members after object ids, writes sets in the order of their hashes, and stamps times, so every `dvc repro`
would look like a new model. Here ids are renumbered in order of appearance, sets are sorted and times are fixed.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import skops.io

from gitops_ml.artifacts.skops_types import TRUSTED_TYPES

SCHEMA = "schema.json"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip file can hold


def skops_bytes(model: object) -> bytes:
    """Store a model in skops' format, deflated. Equal models give equal bytes, with equal skops, zlib and Python.

    Raises:
        skops.io.exceptions.UnsupportedTypeException: skops cannot store a type in the model.
    """
    with zipfile.ZipFile(io.BytesIO(skops.io.dumps(model))) as source:
        numbers = _Numbers()
        state = _renumbered(json.loads(source.read(SCHEMA)), numbers)
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as file:
            members = {
                f"{numbers.of(int(PurePosixPath(name).stem))}{PurePosixPath(name).suffix}": name
                for name in source.namelist()
                if name != SCHEMA
            }
            for name in sorted(members, key=lambda name: int(PurePosixPath(name).stem)):
                _write(file, name, source.read(members[name]))
            _write(file, SCHEMA, json.dumps(state, separators=(",", ":")).encode())
    return target.getvalue()


def untrusted_types(data: bytes) -> set[str]:
    """Types in a skops file that are trusted neither by skops nor by `TRUSTED_TYPES`."""
    return set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES


def load_skops(path: Path, trusted: list[str]) -> Any:
    """Load the model in a skops file that holds only types of `trusted`, of skops and of `TRUSTED_TYPES`.

    Raises:
        skops.io.exceptions.UntrustedTypesFoundException: the file holds another type.
    """
    unknown = set(skops.io.get_untrusted_types(file=path))
    return skops.io.load(path, trusted=sorted(unknown & (TRUSTED_TYPES | set(trusted))))


def _write(file: zipfile.ZipFile, name: str, data: bytes) -> None:
    info = zipfile.ZipInfo(name, EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix, on every system
    info.external_attr = 0o644 << 16
    file.writestr(info, data, compresslevel=6)


class _Numbers:
    """Maps old object ids to new ids, counted from 1 in order of appearance."""

    def __init__(self) -> None:
        self._new: dict[object, int] = {}
        self._last = 0

    def of(self, old: int, same_as: object = None) -> int:
        """The new id of an old id. Old ids with an equal `same_as` share one new id."""
        key = old if same_as is None else same_as
        if old not in self._new and key not in self._new:
            self._last += 1
            self._new[key] = self._last
        return self._new.setdefault(old, self._new.get(key, 0))


def _renumbered(node: Any, numbers: _Numbers) -> Any:
    """The same state with new ids."""
    if isinstance(node, list):
        return [_renumbered(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("__loader__") == "SetNode":
        node = node | {"content": sorted(node["content"], key=_without_ids)}
    state: dict[str, Any] = {}
    if "__id__" in node:
        # The interpreter may or may not share equal immutable values, so they always get the same id here.
        value = ("value", node["content"]) if node.get("__loader__") == "JsonNode" else None
        state["__id__"] = numbers.of(node["__id__"], value)
    for name, part in node.items():
        if name == "__id__":
            continue
        if name == "file" and isinstance(part, str):
            path = PurePosixPath(part)
            state[name] = f"{numbers.of(int(path.stem))}{path.suffix}"
        else:
            state[name] = _renumbered(part, numbers)
    return state


def _without_ids(node: Any) -> str:
    def strip(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: strip(value) for name, value in part.items() if name not in ("__id__", "file")}
        return [strip(item) for item in part] if isinstance(part, list) else part

    return json.dumps(strip(node), sort_keys=True)
