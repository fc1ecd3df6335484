"""Describes boosters, ONNX graphs and functions of MLflow, which say more of their inputs than a pickle does."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gitops_ml.artifacts.description import output_tensors
from gitops_ml.artifacts.facts import as_json
from gitops_ml.artifacts.inputs import inference_request, input_tensors, pick
from gitops_ml.artifacts.manifest import Manifest, Tensor
from gitops_ml.errors import ModelRejected
from gitops_ml.serving.inspection.check import check
from gitops_ml.serving.inspection.description import Description, draft, name_of, notes_of, write_texts
from gitops_ml.serving.inspection.samples import Chosen, by_name, matrix, read_samples
from gitops_ml.serving.messages import NUMPY_TYPES, Column
from gitops_ml.serving.prediction.boosters import open_lightgbm, open_xgboost
from gitops_ml.serving.prediction.loader import load_model
from gitops_ml.serving.prediction.mlflow_function import load_function
from gitops_ml.serving.protocol import parse_request, read_columns

_ONNX_TYPES = {"float": "FP32", "double": "FP64", "float16": "FP16", "string": "BYTES", "bool": "BOOL"}
_LABELS = ("label", "output_label")
"""What converters of classifiers call the label."""


def describe_native(folder: Path, job: dict[str, Any]) -> Description:
    """As `describe.describe`, for a model that is no estimator."""
    if job["format"] == "onnx":
        return _onnx(folder, job)
    if job["format"] == "mlflow":
        return _mlflow(folder, job)
    opened = {"xgboost": open_xgboost, "lightgbm": open_lightgbm}[job["format"]]
    native = opened(folder / job["file"], job["name"])
    kind = f"{job['format']} booster ({native.objective})"
    named = not all(name == f"Column_{number}" for number, name in enumerate(native.features))  # LightGBM's own names
    samples = read_samples(job)
    chosen = by_name(native.features, samples, kind) if named else matrix(native.width, samples, kind)
    classes = tuple(range(native.classes))
    outputs = ("predict", "predict_proba") if classes else ("predict",)
    manifest = draft(
        job,
        [msgspec.structs.replace(tensor, datatype="FP64") for tensor in input_tensors(chosen.rows)],
        task="classification" if classes else "regression",
        classes=classes or None,
        outputs=tuple(Tensor(name=name, datatype="FP64") for name in outputs),
    )
    notes = [f"the classes are 0 to {len(classes) - 1}: a booster stores no names of classes"] if classes else []
    return _asked(folder, manifest, chosen, kind, notes)


def _onnx(folder: Path, job: dict[str, Any]) -> Description:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / job["file"]), providers=["CPUExecutionProvider"])
    nodes, given = session.get_inputs(), session.get_outputs()
    samples = read_samples(job)
    kind = "ONNX graph"
    columns = [node.name for node in nodes]
    width = nodes[0].shape[1] if len(nodes) == 1 and len(nodes[0].shape) == 2 else 1
    if isinstance(width, int) and width > 1:
        chosen = matrix(width, samples, kind)
        inputs = [Tensor(name=columns[0], datatype=_datatype(nodes[0]), shape=(-1, width))]
    else:
        chosen = by_name(columns, samples, kind)
        inputs = [Tensor(name=node.name, datatype=_datatype(node)) for node in nodes]
    tensors = [node for node in given if node.type.startswith("tensor(")]
    rest = [node.name for node in given if node not in tensors]
    notes = [f"{', '.join(rest)} is left out, since it is no tensor: convert with zipmap=False"] if rest else []
    classifies = any(node.name in _LABELS for node in given)
    manifest = draft(
        job,
        inputs,
        task="classification" if classifies else "regression",
        outputs=tuple(Tensor(name=node.name, datatype=_datatype(node)) for node in tensors),
    )
    described = _asked(folder, manifest, chosen, kind, notes)
    return _with_classes(described) if classifies else described


def _mlflow(folder: Path, job: dict[str, Any]) -> Description:
    """The inputs are those of the folder's signature; the outputs what the function gives."""
    inputs = msgspec.convert(job["inputs"], list[Tensor])
    samples = read_samples(job)
    kind = "function of MLflow"
    wide = len(inputs[0].shape) > 1
    chosen = matrix(inputs[0].shape[1], samples, kind) if wide else by_name([t.name for t in inputs], samples, kind)
    manifest = draft(job, inputs)
    function = load_function(folder, manifest)
    columns, _ = _request(chosen, manifest)
    with _told_if_it_fails(kind, chosen):
        outputs = output_tensors(function.answer(columns))
    notes = ["it is taken for a regression: edit `task` and `classes` in the manifest if its answers are classes"]
    return _asked(folder, msgspec.structs.replace(manifest, outputs=outputs), chosen, kind, notes)


def _with_classes(described: Description) -> Description:
    """With the classes 0, 1, … where the graph's labels are numbers; names of classes are read by a person."""
    outputs = described.manifest.outputs
    label = next((spec for spec in outputs if spec.name in _LABELS), None)
    wide = [spec.shape[1] for spec in outputs if len(spec.shape) == 2 and spec.shape[1] > 1]
    if label is None or label.datatype == "BYTES" or not wide:
        note = "the classes are not known: write `classes` into the manifest, in the order of the probabilities"
        return dataclasses.replace(described, notes=[*described.notes, note])
    note = f"the classes are taken for 0 to {wide[0] - 1}: edit `classes` in the manifest if they are others"
    manifest = msgspec.structs.replace(described.manifest, classes=tuple(range(wide[0])))
    return dataclasses.replace(described, manifest=manifest, notes=[*described.notes, note])


def _asked(folder: Path, manifest: Manifest, chosen: Chosen, kind: str, notes: Sequence[str]) -> Description:
    """Load the model as the server does, and declare the outputs as its answers have them."""
    columns, example = _request(chosen, manifest)
    write_texts(folder, manifest, example)
    _, model = load_model(folder, allow_pickle=True)
    names = [spec.name for spec in manifest.outputs]
    with _told_if_it_fails(kind, chosen):
        values = model.predict(columns, names)
    assert isinstance(values, Mapping)
    seen = output_tensors({name: np.asarray(values[name]) for name in names})
    manifest = msgspec.structs.replace(manifest, outputs=seen)
    write_texts(folder, manifest, example)
    problems, more = check(folder)
    if problems:
        raise problems[0]
    return Description(manifest, example, kind, name_of(chosen), notes_of(chosen, [*notes, *more]))


def _request(chosen: Chosen, manifest: Manifest) -> tuple[Mapping[str, Column], bytes]:
    """The first row as the model gets it from a client, and the example that holds it."""
    example = as_json(inference_request(pick(chosen.rows, [0]), manifest.inputs))
    columns, _ = read_columns(*parse_request(example, len(example)), manifest.inputs)
    return columns, example


@contextlib.contextmanager
def _told_if_it_fails(kind: str, chosen: Chosen) -> Iterator[None]:
    """Raise `ModelRejected` for whatever the model raises."""
    try:
        yield
    except Exception as error:  # the model is foreign code
        raise ModelRejected(
            f"the {kind} fails on rows of {name_of(chosen) or 'zeros'}",
            why=f"{type(error).__name__}: {error}",
            fix="give rows of its training data: --sample FILE",
        ) from error


def _datatype(node: Any) -> str:
    name = node.type.removeprefix("tensor(").removesuffix(")")
    known = {np.dtype(kind).name: datatype for datatype, kind in NUMPY_TYPES.items()}
    return _ONNX_TYPES.get(name) or known.get(name, "FP32")
