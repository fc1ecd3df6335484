"""What a model says of itself: `manifest.json`, which its train stage wrote beside the model.

The server believes nothing in it that it does not have to: names of files stay inside the artifact, and the
types it asks to trust are the ones that a person reviewed with the commit.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from gitops_ml.errors import ModelRejected

MANIFEST = "manifest.json"
EXAMPLE = "example.json"

Datatype = Literal[
    "BOOL",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "FP16",
    "FP32",
    "FP64",
    "BYTES",
]
PLATFORMS = {
    "skops": "sklearn_skops",
    "joblib": "sklearn_joblib",
    "onnx": "onnxruntime_onnx",
    "predictor": "python_predictor",
}


class TensorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One named tensor; `shape` is [-1] for a column, [-1, k] for a matrix of k columns."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The rows that the model was trained on: `first` to `last` of its time column (ISO 8601), where it has
    one."""

    time_column: str | None = None
    first: str | None = msgspec.field(name="from", default=None)
    last: str | None = msgspec.field(name="to", default=None)
    rows: int | None = None


class Target(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The column that the model predicts, and which of its classes is the positive one."""

    name: str
    positive: int | str | bool | None = None


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`manifest.json` of schema 1."""

    schema: Literal[1]
    name: str
    format: Literal["skops", "joblib", "onnx", "predictor"]
    file: str | None = None
    predictor: str | None = None
    python: str = ""
    task: Literal["classification", "regression"] = "regression"
    classes: list[int | float | str | bool] | None = None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    trusted_types: tuple[str, ...] = ()
    training: Training | None = None
    target: Target | None = None


def read_manifest(model_dir: Path) -> Manifest:
    """Read `manifest.json` of the artifact in `model_dir`.

    Raises:
        ModelRejected: it is absent, broken, or contradicts itself.
    """
    path = model_dir / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise ModelRejected(f"the model has no {MANIFEST}", why=str(error), fix="dvc repro train") from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelRejected(f"the model's {MANIFEST} is broken", why=str(error), fix="dvc repro train") from error
    for what, specs in (("inputs", manifest.inputs), ("outputs", manifest.outputs)):
        names = [spec.name for spec in specs]
        if not names or len(set(names)) != len(names):
            raise ModelRejected(
                f"the model's {MANIFEST} is broken",
                why=f"{what} are empty or name a tensor twice",
                fix="dvc repro train",
            )
    return manifest


def model_file(model_dir: Path, manifest: Manifest) -> Path:
    """Path of the model's own file, which has to be a regular file inside the artifact.

    Raises:
        ModelRejected: the manifest names none, or one that is absent or outside.
    """
    name = manifest.file or ""
    path = model_dir / name
    inside = path.resolve().is_relative_to(model_dir.resolve())
    if not name or not inside or not path.is_file():
        raise ModelRejected(
            f"the model's file {name!r} cannot be used",
            why="the manifest must name a file inside the artifact",
            fix="dvc repro train",
        )
    return path
