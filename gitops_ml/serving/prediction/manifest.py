"""The server's reading of `manifest.json`: stricter than the judge's, since the server acts on it.

An unknown key is refused, since it may be a mistyped one. Names of files must stay inside the artifact.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import MANIFEST, Manifest, broken_file, parse_manifest
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.messages import NUMPY_TYPES

PLATFORMS = {
    "skops": "sklearn_skops",
    "joblib": "sklearn_joblib",
    "onnx": "onnxruntime_onnx",
    "xgboost": "xgboost_booster",
    "lightgbm": "lightgbm_booster",
    "mlflow": "mlflow_pyfunc",
    "predictor": "python_predictor",
}
"""`platform` in the model's metadata, by the manifest's `format`."""

DATATYPES = (*NUMPY_TYPES, "BYTES")


def read_manifest(model_dir: Path) -> Manifest:
    """Read `manifest.json` of the artifact in `model_dir`.

    Raises:
        ModelRejected: it is missing or broken, contradicts itself, or asks for something that this server lacks.
    """
    try:
        content = (model_dir / MANIFEST).read_bytes()
    except OSError as error:
        raise ModelRejected(f"the model has no {MANIFEST}", why=str(error), fix="gitops-ml adopt") from error
    return parse_served_manifest(content)


def parse_served_manifest(content: bytes) -> Manifest:
    """As `read_manifest`, of the file's content."""
    manifest = parse_manifest(content)
    problems = [*_unsupported(manifest), *_unknown_keys(msgspec.json.decode(content), msgspec.to_builtins(manifest))]
    if problems:
        raise broken_file(MANIFEST, "; ".join(problems))
    return manifest


def model_file(model_dir: Path, manifest: Manifest) -> Path:
    """Path of the model's own file, a regular file inside the artifact.

    Raises:
        ModelRejected: the manifest names no file, or a file that is missing or outside the artifact.
    """
    name = manifest.file or ""
    path = model_dir / name
    inside = path.resolve().is_relative_to(model_dir.resolve())
    if not name or not inside or not path.is_file():
        raise ModelRejected(
            f"the model's file {name!r} cannot be used",
            why="the manifest must name a file inside the artifact",
            fix="correct it or train again, then gitops-ml check",
        )
    return path


def _unsupported(manifest: Manifest) -> Iterator[str]:
    if manifest.schema != 1:
        yield f"`schema` is {manifest.schema}; this server reads 1"
    if manifest.format not in PLATFORMS:
        yield f"`format` is {manifest.format!r}; this server reads {', '.join(PLATFORMS)}"
    if not manifest.outputs:
        yield "`outputs` is empty"
    for key, tensors in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        for tensor in tensors:
            if tensor.datatype not in DATATYPES:
                known = ", ".join(DATATYPES)
                yield f"`{key}`: the datatype of {tensor.name!r} is {tensor.datatype!r}, not one of {known}"


def _unknown_keys(content: Any, known: Any) -> Iterator[str]:
    """Compare the file's JSON with what the manifest's types took from it."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key in known:
                yield from _unknown_keys(value, known[key])
            else:
                yield f"unknown field `{key}`"
    elif isinstance(content, list):
        for value, taken in zip(content, known, strict=True):
            yield from _unknown_keys(value, taken)
