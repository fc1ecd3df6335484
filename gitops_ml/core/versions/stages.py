"""The stages of a dvc.lock as its dvc.yaml declares them: which of them count, and from where their paths start.

A stage that dvc.yaml does not have any more stays in dvc.lock until `dvc repro` writes it anew. DVC ignores it, since
another stage may make its outputs now.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.core.versions.documents import DvcLock, Entry, Pipeline

_TEMPLATE = "${"
_OUTPUTS = ("outs", "metrics", "plots")


class LockedOutput(msgspec.Struct, frozen=True, kw_only=True):
    """One output of a locked stage, with what dvc.yaml says about it. `path` starts from the lock's folder."""

    path: str
    entry: Entry
    cached: bool = True
    pushed: bool = True
    remote: str | None = None


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One locked stage. `deps` are by path, `params` by file and dotted key; both start from the lock's folder."""

    outs: tuple[LockedOutput, ...] = ()
    deps: dict[str, Entry] = {}
    params: dict[str, dict[str, Any]] = {}


def locked_stages(lock: DvcLock, pipeline: Pipeline) -> dict[str, Stage]:
    """The stages of `lock` that `pipeline`, the dvc.yaml beside it, has; by their names in the lock."""
    stages: dict[str, Stage] = {}
    for name, locked in (lock.stages or {}).items():
        spec = find_stage(pipeline, name)
        if spec is None:
            continue
        folder = spec.get("wdir")
        folder = folder if isinstance(folder, str) else ""
        notes = _notes(spec)
        stages[name] = Stage(
            outs=tuple(_output(entry, folder, notes.get(entry.path, {})) for entry in locked.outs or ()),
            deps={_joined(folder, entry.path): entry for entry in locked.deps or ()},
            params={_joined(folder, file): values for file, values in (locked.params or {}).items()},
        )
    return stages


def find_stage(pipeline: Pipeline, name: str) -> Mapping[str, Any] | None:
    """What dvc.yaml says about the locked stage `name`; of a generated one (`train@eu`), its template.

    None if dvc.yaml does not have the stage.
    """
    stages = pipeline.stages or {}
    spec = stages.get(name)
    if spec is None:
        group, at, _ = name.rpartition("@")
        spec = stages.get(group) if at else None
        if not isinstance(spec, Mapping) or not {"foreach", "matrix"} & spec.keys():
            return None
    if isinstance(spec, Mapping) and isinstance(spec.get("do"), Mapping):
        spec = spec["do"]
    return spec if isinstance(spec, Mapping) else {}


def is_templated(spec: Mapping[str, Any]) -> bool:
    """Whether what is read here from a stage has to be resolved first: its folder, or what it says about an output.

    A templated path alone has not: dvc.lock has it resolved.
    """
    said = [spec.get("wdir"), *(entry for kind in _OUTPUTS for entry in _listed(spec, kind) if _is_mapping(entry))]
    return any(_TEMPLATE in str(value) for value in said)


def needed_of(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a stage in dvc.yaml that `locked_stages` reads, and what its templates are resolved from."""
    kept = {key: spec[key] for key in ("wdir", "vars", "foreach", "matrix") if key in spec}
    kept |= {kind: [e for e in _listed(spec, kind) if _is_mapping(e)] for kind in _OUTPUTS if kind in spec}
    if _is_mapping(spec.get("do")):
        kept["do"] = needed_of(spec["do"])
    return kept


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _listed(spec: Mapping[str, Any], kind: str) -> list[Any]:
    listed = spec.get(kind)
    return listed if isinstance(listed, list) else []


def _notes(spec: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a stage says about each of its outputs, such as `remote` and `cache`, by path."""
    notes: dict[str, Mapping[str, Any]] = {}
    for kind in _OUTPUTS:
        for entry in _listed(spec, kind):
            if isinstance(entry, Mapping):
                notes |= {str(path): said for path, said in entry.items() if isinstance(said, Mapping)}
    return {posixpath.normpath(path): said for path, said in notes.items()} | notes


def _output(entry: Entry, folder: str, notes: Mapping[str, Any]) -> LockedOutput:
    remote = notes.get("remote")
    return LockedOutput(
        path=_joined(folder, entry.path),
        entry=entry,
        cached=notes.get("cache") is not False,
        pushed=notes.get("push") is not False,
        remote=remote if isinstance(remote, str) and remote else entry.remote,
    )


def _joined(folder: str, path: str) -> str:
    """`path` of a stage that works in `folder`, from the lock's folder; an external path as it is."""
    return path if "://" in path or not path else posixpath.normpath(posixpath.join(folder, path))
