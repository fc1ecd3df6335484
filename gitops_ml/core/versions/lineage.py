"""The lineage of a model, from the dvc.lock of its commit: stages, intermediate data, code and parameters.

Reads DVC's documented lock format, without DVC.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.core.versions.documents import Entry
from gitops_ml.core.versions.stages import Stage


class Lineage(msgspec.Struct, frozen=True, kw_only=True):
    """What one path was made from. Paths are relative to the lock's folder.

    Args:
        stages: the names of the stages, the last one first.
        inputs: `md5:<hex>` by path, of files that no stage makes: code, requirements, added data.
        data: `md5:<hex>` by path, of intermediate outputs of the stages.
        params: the values that were used, by `<file>:<dotted key>`.
    """

    stages: tuple[str, ...] = ()
    inputs: dict[str, str] = {}
    data: dict[str, str] = {}
    params: dict[str, Any] = {}


def lineage_in_lock(stages: Mapping[str, Stage], path: str) -> Lineage:
    """The lineage of `path`, an output of `stages` or a path inside one; empty if no stage makes it."""
    makers = {out.path: name for name, stage in stages.items() for out in stage.outs}
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
        for dependency, entry in stages[maker].deps.items():
            intermediate = _maker(makers, dependency) is not None
            (data if intermediate else inputs)[dependency] = _digest(entry)
            pending.append(dependency)
    return Lineage(
        stages=tuple(seen), inputs=dict(sorted(inputs.items())), data=dict(sorted(data.items())), params=params
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """The keys whose values differ, sorted, each with both values. A missing value is None."""
    keys = sorted(before.keys() | after.keys())
    pairs = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: (old, new) for key, (old, new) in pairs.items() if old != new and not (_nan(old) and _nan(new))}


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings into one, by dotted key. A list is a value."""
    if not isinstance(value, Mapping):
        return {prefix: value}
    values: dict[str, Any] = {}
    for key, child in value.items():
        values |= flatten(child, f"{prefix}.{key}" if prefix else str(key))
    return values


def _nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _maker(makers: Mapping[str, str], path: str) -> str | None:
    """The stage that makes `path`, a folder around it, or a path inside it."""
    if path in makers:
        return makers[path]
    for made, stage in makers.items():
        if path.startswith(f"{made}/") or made.startswith(f"{posixpath.normpath(path)}/"):
            return stage
    return None


def _digest(entry: Entry) -> str:
    return f"md5:{entry.md5.removesuffix('.dir')}" if entry.md5 else entry.etag or "unknown"


def _params(stage: Stage) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for file, params in stage.params.items():
        values |= {f"{file}:{key}": value for key, value in flatten(params).items()}
    return values
