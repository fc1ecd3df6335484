"""Looks into one model of a commit, and makes the texts of `serving/<model>/` that let it be served."""

from __future__ import annotations

import functools
import json
import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.adoption.candidates import Candidate, Tracked, data_files
from gitops_ml.adoption.data_rows import is_data, read_rows
from gitops_ml.adoption.pinned import pinned_versions
from gitops_ml.adoption.requirements import Needs, constraints_of, holds_estimator, needs_of
from gitops_ml.adoption.stored_model import FoundModel, NoModelError, stored_model
from gitops_ml.artifacts.content import FileContent
from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST, Manifest, parse_manifest
from gitops_ml.artifacts.model_files import REQUIREMENTS, parse_example
from gitops_ml.artifacts.pickle_modules import PICKLES
from gitops_ml.clients.artifacts import path_digests, resolution
from gitops_ml.clients.artifacts.fetching import fetch
from gitops_ml.clients.artifacts.scratch import scratch_folder
from gitops_ml.clients.artifacts.sidecar import sidecar_path
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.engine.inspection import inspect_model
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import GitopsError, InputError, ModelRejected
from gitops_ml.saving.lock import lock
from gitops_ml.serving.building.requirements import CONTAINER_PYTHON, read_lock, with_server

MAX_DATA_BYTES = 512 << 20
SAMPLES = 12
"""Data files that are looked at for one model."""


@dataclass(frozen=True)
class AdoptOptions:
    """What a person says of the models, as the options of `adopt`."""

    name: str | None = None
    sample: Path | None = None
    columns: tuple[str, ...] = ()
    target: str | None = None
    positive: str | None = None
    pins: Mapping[str, str] = field(default_factory=dict)
    requirements: Path | None = None


@dataclass(frozen=True)
class Adopted:
    """A model that can be served with `files`, by their paths in the repository.

    Args:
        kind: the model's class.
        sample: the data file of the example; None for zeros.
        needs: where the version of each package is from.
    """

    candidate: Candidate
    manifest: Manifest
    files: Mapping[str, bytes]
    kind: str = ""
    sample: str | None = None
    needs: Needs | None = None
    notes: Sequence[str] = ()

    @property
    def is_pickle(self) -> bool:
        """Whether a deployment has to allow it."""
        return self.manifest.format in PICKLES


class Adoption:
    """Adopts models of one commit.

    Args:
        connect: gives the engine whose containers look into the models.
        tell: takes a line of progress.
    """

    def __init__(
        self,
        repo: Repository,
        commit: str,
        paths: Tracked,
        connect: Callable[[], Engine],
        tell: Callable[[str], None],
    ) -> None:
        self._repo = repo
        self._commit = commit
        self._paths = paths
        self._connect = connect
        self._tell = tell
        self._rows: dict[str, dict[str, Any] | None] = {}
        self._given_rows = functools.cache(lambda sample: read_rows(sample, str(sample)))

    def adopt(self, candidate: Candidate, chosen: AdoptOptions, *, asked: bool) -> Adopted:
        """Make the texts of one model.

        Args:
            asked: a person named the model: then a file without an estimator is an error of its own kind.

        Raises:
            NoModelError: the file holds no model, and nobody said that it does.
            GitopsError: what is missing, with the option that says it.
        """
        if chosen.sample is not None:
            self._given_rows(chosen.sample)  # before anything takes long
        files = self._files(candidate.path)
        if MANIFEST in files:
            return Adopted(candidate, parse_manifest(bytes(files[MANIFEST])), {})
        stored = stored_model(candidate.path, files)
        if not (asked or candidate.declared) and not holds_estimator(stored):
            raise NoModelError(
                f"{candidate.path} names no class of a library that makes models",
                fix=f"gitops-ml adopt {candidate.path}",
            )
        needs, requirements = self._requirements(candidate, stored, chosen)
        inspection = self._inspect(candidate, stored, files, requirements, chosen)
        if inspection.errors:
            raise inspection.errors[0]
        if inspection.manifest is None or inspection.example is None:
            raise ModelRejected(f"{candidate.path} could not be described", why="the container said nothing of it")
        # A hostile model may have written anything: only what the types take is written down, under the model's name.
        seen = parse_manifest(json.dumps(inspection.manifest).encode())
        manifest = msgspec.structs.replace(seen, name=candidate.name, format=stored.format, file=stored.file)
        parse_example(inspection.example.encode())
        folder = sidecar_path(candidate.model)
        texts = {
            f"{folder}/{MANIFEST}": manifest_text(manifest),
            f"{folder}/{EXAMPLE}": inspection.example.encode(),
            f"{folder}/{REQUIREMENTS}": requirements,
        }
        return Adopted(candidate, manifest, texts, inspection.kind, inspection.sample, needs, inspection.notes)

    def _files(self, path: str) -> dict[str, FileContent]:
        resolved = path_digests.resolve_path(self._repo, self._commit, path)
        return resolution.read_large(self._repo, resolved)

    def _requirements(
        self, candidate: Candidate, stored: FoundModel, chosen: AdoptOptions
    ) -> tuple[Needs | None, bytes]:
        """The lock that is there already or was given, else a new one."""
        beside = self._repo.root / sidecar_path(candidate.model) / REQUIREMENTS
        given = chosen.requirements or (beside if beside.is_file() else None)
        if given is not None:
            text = _read(given)
            read_lock(text)
            return None, text
        pinned = pinned_versions(self._repo, self._commit, candidate.folder or posixpath.dirname(candidate.path))
        source = f"{candidate.path}/{REQUIREMENTS}"
        pinned |= {name: (version, source) for name, version in stored.pins.items()}
        needs = needs_of(stored, pinned, chosen.pins)
        self._tell(f"{candidate.path}: locking {', '.join(sorted(needs.versions))}")
        return needs, lock(needs.versions, constraints_of(needs, pinned)).encode()

    def _inspect(
        self,
        candidate: Candidate,
        stored: FoundModel,
        files: Mapping[str, FileContent],
        requirements: bytes,
        chosen: AdoptOptions,
    ) -> Any:
        job = {
            "do": "describe",
            "name": candidate.name,
            "python": CONTAINER_PYTHON,
            "format": stored.format,
            "file": stored.file,
            "inputs": msgspec.to_builtins(stored.inputs),
            "samples": [{"name": name, "columns": rows} for name, rows in self._samples(candidate, stored, chosen)],
            "columns": list(chosen.columns) or None,
            "target": chosen.target,
            "positive": chosen.positive,
        }
        engine = self._connect()
        return inspect_model(
            engine,
            with_server(read_lock(requirements)),
            files,
            job,
            lambda line: self._tell(f"{candidate.path}: {line}"),
        )

    def _samples(
        self, candidate: Candidate, stored: FoundModel, chosen: AdoptOptions
    ) -> list[tuple[str, dict[str, Any]]]:
        if chosen.sample is not None:
            return [(chosen.sample.name, self._given_rows(chosen.sample))]
        samples = [(f"{candidate.path}/{stored.example_file}", stored.example)] if stored.example else []
        for path in data_files(self._paths, candidate.path):
            for name, rows in self._rows_of(path).items():
                samples.append((name, rows))
            if len(samples) >= SAMPLES:
                break
        return samples[:SAMPLES]

    def _rows_of(self, path: str) -> dict[str, Any]:
        """The rows of a data file, or of each in a folder; without those that cannot be had or read."""
        if path not in self._rows:
            self._rows[path] = self._read_rows(path)
        return self._rows[path] or {}

    def _read_rows(self, path: str) -> dict[str, Any]:
        rows: dict[str, Any] = {}
        try:
            resolved = path_digests.resolve_path(self._repo, self._commit, path)
            if (resolved.size or 0) > MAX_DATA_BYTES:
                return {}
            with scratch_folder() as folder:
                for file in fetch(self._repo, resolved, folder):
                    name = path if not resolved.is_dir else f"{path}/{file.name}"
                    if is_data(name) and len(rows) < SAMPLES:
                        try:
                            rows[name] = read_rows(file.path, name)
                        except InputError as error:
                            self._tell(str(error).partition("\n")[0])
        except GitopsError as error:
            self._tell(f"no example is taken from {path}: {error.what}")
        return rows


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read", why=error.strerror or "", fix="give the path of a lock") from error


def manifest_text(manifest: Manifest) -> bytes:
    """The content of manifest.json, without keys that say nothing."""
    keys = {key: value for key, value in msgspec.to_builtins(manifest).items() if value not in (None, [], ())}
    return (json.dumps(keys, indent=2, ensure_ascii=False) + "\n").encode()


def manifest_differences(before: bytes, after: bytes) -> list[str]:
    """The keys of a manifest that another look at the model would write differently."""
    try:
        old, new = msgspec.json.decode(before), msgspec.json.decode(after)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ["the whole file"]
    if not isinstance(old, dict):
        return ["the whole file"]
    return sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
