"""dvc.yaml with its templates (`${…}`, foreach, matrix) resolved as DVC resolves them, from files of one commit.

Only what versions are read from is resolved: working directories, what is said about outputs, and artifacts. Most
projects have no template there, and DVC's import is spared.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.clients.artifacts import dvc
from gitops_ml.clients.artifacts.documents import LOCKS, PIPELINES
from gitops_ml.clients.files.yaml_data import load
from gitops_ml.clients.files.yaml_scalars import DVC
from gitops_ml.clients.git.memo import Memo
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.versions.documents import Pipeline
from gitops_ml.core.versions.stages import Stage, find_stage, is_templated, locked_stages, needed_of
from gitops_ml.errors import InputError

_MAX_BYTES = 1 << 20
"""Bytes of one file of variables."""

_ARTIFACTS: Memo[tuple[str, str], dict[str, Any]] = Memo()
_STAGES: Memo[tuple[str, str], dict[str, Stage]] = Memo()
"""By commit and file: a template depends on other files of its commit."""


def read_artifacts(repo: Repository, commit: str, file: str) -> dict[str, Any] | None:
    """What is under `artifacts:` of the dvc.yaml at `file`, by name; None where the commit has no such file.

    Raises `InputError` for what DVC would not read either.
    """
    pipeline = PIPELINES.read(repo, commit, file)
    if pipeline is None:
        return None
    artifacts = pipeline.artifacts or {}
    if not any(dvc.TEMPLATE in text for name, spec in artifacts.items() for text in (name, str(spec))):
        return artifacts
    memo = _ARTIFACTS.of(repo)
    if (commit, file) not in memo:
        templates = {name: _path_of(spec) for name, spec in artifacts.items()}
        memo[commit, file] = _resolver(repo, commit, file, {"artifacts": templates}).artifacts()
    return memo[commit, file]


def read_stages(repo: Repository, commit: str, file: str) -> dict[str, Stage]:
    """The stages of the dvc.lock at `file` that the dvc.yaml beside it declares; none where the commit has no lock.

    Raises `InputError` for what DVC would not read either.
    """
    lock = LOCKS.read(repo, commit, file)
    if lock is None:
        return {}
    declared = posixpath.join(posixpath.dirname(file), "dvc.yaml")
    pipeline = PIPELINES.read(repo, commit, declared) or Pipeline()
    templated = [name for name in lock.stages or {} if is_templated(find_stage(pipeline, name) or {})]
    if not templated:
        return locked_stages(lock, pipeline)
    memo = _STAGES.of(repo)
    if (commit, file) not in memo:
        specs = {name: needed_of(spec) for name, spec in (pipeline.stages or {}).items() if isinstance(spec, Mapping)}
        resolver = _resolver(repo, commit, declared, {"stages": specs})
        resolved = {name: spec for name in templated if (spec := resolver.stage(name)) is not None}
        # A template that generates no stage of this name any more makes nothing.
        stages = {name: spec for name, spec in (lock.stages or {}).items() if name in resolved or name not in templated}
        whole = msgspec.structs.replace(pipeline, stages=(pipeline.stages or {}) | resolved)
        memo[commit, file] = locked_stages(msgspec.structs.replace(lock, stages=stages), whole)
    return memo[commit, file]


def _path_of(spec: Any) -> Any:
    return {"path": spec["path"]} if isinstance(spec, Mapping) and "path" in spec else spec


def _resolver(repo: Repository, commit: str, file: str, content: dict[str, Any]) -> dvc.Resolver:
    document = PIPELINES.read(repo, commit, file)
    content |= {"vars": document.vars or []} if document else {}
    return dvc.Resolver(file, content, lambda path: _read_variables(repo, commit, path))


def _read_variables(repo: Repository, commit: str, path: str) -> bytes | None:
    """A file that templates take values from; None where the commit has none. DVC's parsers bound nothing.

    Raises `InputError`.
    """
    entry = repo.entry(commit, path) if not path.startswith(("/", "../")) else None
    if entry is None or not entry.mode.startswith("100"):
        return None
    data = repo.read_file(commit, path, _MAX_BYTES)
    if data is None:
        raise InputError(
            f"{path} is too large for templates", why=f"at most {_MAX_BYTES} bytes are read", fix="make it smaller"
        )
    if posixpath.splitext(path)[1].lower() not in (".toml", ".py"):
        load(data, path, DVC)
    return data
