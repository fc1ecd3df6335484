"""What a model was made of, by the dvc.lock of its own commit: stages, the data between them, code, and parameters.

Pure reading of DVC's documented lock format; nothing is asked of DVC itself.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.core.versions.documents import Entry, Lock, LockedStage


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What one path was made of. Paths are relative to the lock's folder.

    Args:
        stages: the names of the stages, the last one first.
        inputs: `md5:<hex>` by path, of what no stage made: code, requirements, data that somebody added.
        data: the same of what the stages made on the way, the path itself left out.
        params: values by `<file>:<dotted key>`, as the lock says that they were used.
    """

    stages: tuple[str, ...] = ()
    inputs: dict[str, str] = {}
    data: dict[str, str] = {}
    params: dict[str, Any] = {}


def made_of(lock: Lock, path: str) -> Made:
    """What `path`, an output in `lock` or inside one, was made of; nothing where the lock does not have it."""
    stages = lock.stages or {}
    makers = {entry.path: name for name, stage in stages.items() for entry in stage.outs or ()}
    pending, seen = [path], list[str]()
    inputs: dict[str, str] = {}
    data: dict[str, str] = {}
    params: dict[str, Any] = {}
    while pending:
        maker = _maker(makers, pending.pop(0))
        if maker is None or maker in seen:
            continue
        seen.append(maker)
        params |= _params(stages[maker])
        for entry in stages[maker].deps or ():
            made = _maker(makers, entry.path) is not None
            (data if made else inputs)[entry.path] = _digest(entry)
            pending.append(entry.path)
    return Made(stages=tuple(seen), inputs=dict(sorted(inputs.items())), data=dict(sorted(data.items())), params=params)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys whose values differ, sorted, each with both values; None where one side has none."""
    keys = sorted(before.keys() | after.keys())
    pairs = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: (old, new) for key, (old, new) in pairs.items() if old != new and not (_nan(old) and _nan(new))}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, by dotted key; a list is a value."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    found: dict[str, Any] = {}
    for key, child in value.items():
        found |= flat(child, f"{prefix}.{key}" if prefix else str(key))
    return found


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _maker(makers: Mapping[str, str], path: str) -> str | None:
    """The stage that makes `path`, the folder around it, or something in it."""
    if path in makers:
        return makers[path]
    for made, stage in makers.items():
        if path.startswith(f"{made}/") or made.startswith(f"{posixpath.normpath(path)}/"):
            return stage
    return None


def _digest(entry: Entry) -> str:
    return f"md5:{entry.md5.removesuffix('.dir')}" if entry.md5 else entry.etag or "unknown"


def _params(stage: LockedStage) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file, params in (stage.params or {}).items():
        values |= {f"{file}:{key}": value for key, value in flat(params).items()}
    return values
