"""Stores a model in an artifact's folder: as skops where that gives the same answers, else as a pickle."""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.artifacts.facts import as_json
from gitops_ml.artifacts.manifest import MANIFEST, Manifest
from gitops_ml.artifacts.skops_file import skops_bytes, untrusted_types
from gitops_ml.errors import GitopsError, InputError
from gitops_ml.serving.inspection.equal_answers import rehearse

SKOPS_FILE = "model.skops"
PICKLE_FILE = "model.pkl"


@dataclass(frozen=True)
class ModelInMemory:
    """A fitted estimator, its pickle, rows to ask it for, and what gives its answers, by output."""

    estimator: Any
    pickle: bytes
    rows: Any
    ask: Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True)
class StoredModel:
    """The manifest as it was written, the model file's size in bytes, and what a person should know."""

    manifest: Manifest
    size: int
    notes: tuple[str, ...]


@contextlib.contextmanager
def staged(path: Path) -> Iterator[Path]:
    """Give a new folder that takes the place of `path` at the end, if nothing was raised.

    Raises:
        InputError: `path` holds something else than an artifact.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InputError(f"{path} is no folder", fix="give the path of a folder")
    if path.is_dir() and any(path.iterdir()) and not (path / MANIFEST).is_file():
        raise InputError(
            f"{path} holds other files than a model's", why=f"it has no {MANIFEST}", fix="give the path of a new folder"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        folder = Path(scratch, "new")
        folder.mkdir()
        with _told_if_full(path):
            yield folder
        if path.exists():
            path.rename(Path(scratch, "old"))
        folder.rename(path)


@contextlib.contextmanager
def _told_if_full(path: Path) -> Iterator[None]:
    """Raise `InputError` where the disk takes no more bytes."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise InputError(
            f"{path} cannot be written", why=error.strerror or str(error), fix=f"make room: df -h {path.parent}"
        ) from error


def store(
    folder: Path, model: ModelInMemory, manifest: Manifest, reviewed: Collection[str] | None, *, allow_pickle: bool
) -> StoredModel:
    """Write the model file and the manifest into `folder`, which has the example already, and rehearse them.

    Args:
        manifest: without format, file and trusted types.
        reviewed: the types that a skops file may hold beyond those of every model; None for any.

    Raises:
        InputError: a type is not reviewed, or no way of storing gives a model that answers as the one in memory.
        ModelRejected: the stored model cannot be loaded.
    """
    try:
        data = skops_bytes(model.estimator)
    except Exception as error:  # skops calls methods of foreign classes
        reason: Exception = error
    else:
        types = sorted(untrusted_types(data))
        _require_reviewed(types, reviewed)
        try:
            stored = _write(folder, model, manifest, data, format="skops", file=SKOPS_FILE, trusted_types=tuple(types))
        except GitopsError as error:
            reason = error
            (folder / SKOPS_FILE).unlink()
        else:
            unreviewed = f"review these types, which the manifest trusts: {', '.join(types)}"
            return StoredModel(stored, len(data), (unreviewed,) if types and reviewed is None else ())
    if not allow_pickle:
        if isinstance(reason, InputError):
            raise reason
        raise InputError(
            f"{type(model.estimator).__name__} cannot be stored as skops",
            why=f"{type(reason).__name__}: {reason}",
            fix="choose another estimator",
        ) from reason
    stored = _write(folder, model, manifest, model.pickle, format="joblib", file=PICKLE_FILE)
    why = str(reason).partition("\n")[0]
    return StoredModel(
        stored, len(model.pickle), (f"stored as a pickle, which is served only with allow_pickle: true; skops: {why}",)
    )


def _write(folder: Path, model: ModelInMemory, manifest: Manifest, data: bytes, **stored: Any) -> Manifest:
    manifest = msgspec.structs.replace(manifest, **stored)
    (folder / str(manifest.file)).write_bytes(data)
    (folder / MANIFEST).write_bytes(as_json(msgspec.to_builtins(manifest)))
    rehearse(folder, model.rows, model.ask)
    return manifest


def _require_reviewed(types: list[str], reviewed: Collection[str] | None) -> None:
    unreviewed = [name for name in types if reviewed is not None and name not in reviewed]
    if unreviewed:
        raise InputError(
            f"the model holds types that nobody has reviewed: {', '.join(unreviewed)}",
            why="loading them may run code, so a person must look at them once",
            fix="review them, then add them to trusted_types",
        )
