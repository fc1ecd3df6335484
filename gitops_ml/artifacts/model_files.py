"""The text files of a model artifact, read once into types.

A model is hostile until proven otherwise: whatever is wrong with its files ends as `ModelRejected`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import Manifest, parse_manifest
from gitops_ml.errors import InputError, ModelRejected

MANIFEST, EXAMPLE, REFERENCE = "manifest.json", "example.json", "reference.json"


class ModelFiles(msgspec.Struct, frozen=True, kw_only=True):
    """The text files of one artifact. `reference` is read by the advisory drift check alone."""

    manifest: Manifest
    example: dict[str, Any] | None = None
    reference: bytes | None = None


class _Tensor(msgspec.Struct, frozen=True):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class _Example(msgspec.Struct, frozen=True):
    inputs: tuple[_Tensor, ...]


def read_model_files(files: Mapping[str, bytes]) -> ModelFiles:
    """Read and check the text files of an artifact, by their path inside the artifact. Raises `ModelRejected`."""
    try:
        manifest = parse_manifest(files.get(MANIFEST, b""))
        positive = manifest.target.positive if manifest.target else None
        if manifest.classes and positive is not None and positive not in manifest.classes:
            raise InputError(f"{MANIFEST}: target.positive {positive!r} is not among classes")
        example = msgspec.json.decode(files[EXAMPLE]) if EXAMPLE in files else None
        if example is not None:
            inputs = msgspec.convert(example, _Example).inputs
            if not inputs or not all(tensor.shape and tensor.shape[0] > 0 for tensor in inputs):
                raise InputError(f"{EXAMPLE} holds no row")
    except (InputError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRejected(
            "a file of the model cannot be read", why=str(error).split("\n")[0], fix="dvc repro train"
        ) from error
    return ModelFiles(manifest=manifest, example=example, reference=files.get(REFERENCE))
