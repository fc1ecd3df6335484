"""Compares a whole artifact with what its model is and answers: every mistake at once, each with the valid values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from gitops_ml.artifacts.facts import unsteady
from gitops_ml.artifacts.manifest import EXAMPLE, MANIFEST, ClassLabel, Manifest, Tensor, class_name, parse_manifest
from gitops_ml.errors import GitopsError, InputError, ModelRejected
from gitops_ml.serving.messages import NUMPY_TYPES
from gitops_ml.serving.prediction.estimator import METHODS
from gitops_ml.serving.prediction.loader import Model, load_estimator, load_model
from gitops_ml.serving.prediction.outputs import WrongOutputError, conform, is_column
from gitops_ml.serving.prediction.rehearsal import awaited, repeated
from gitops_ml.serving.protocol import parse_request, read_columns

EDIT = "correct the model's manifest.json"
NAMED = 10
"""So many names are listed."""


def check(folder: Path, *, answer: bool = True) -> tuple[list[GitopsError], list[str]]:
    """Look for what would keep the artifact in `folder` from being served, or would make its answers wrong.

    What the texts alone show is known to the caller, so only what the model shows is told.

    Args:
        answer: ask the model for its example too.

    Returns:
        the mistakes, and notes that are none.
    """
    try:
        path = folder / MANIFEST
        manifest = parse_manifest(path.read_bytes())
        path.write_bytes(msgspec.json.encode(manifest))  # without the unknown keys, which the server refuses
        estimator = load_estimator(folder, manifest, allow_pickle=True)
        problems: list[GitopsError] = [] if estimator is None else list(_against_estimator(manifest, estimator))
        if problems or not answer:
            return problems, []  # with them the server would not load the model
        _, model = load_model(folder, allow_pickle=True)
    except GitopsError as error:
        return [error], []
    body = (folder / EXAMPLE).read_bytes()
    problems = list(_against_answers(manifest, model, body))
    return problems, [] if problems else _notes(manifest, model, body)


def _against_estimator(manifest: Manifest, estimator: Any) -> Iterator[ModelRejected]:
    offered = [name for name in METHODS if callable(getattr(estimator, name, None))]
    kind = type(estimator).__name__
    unknown = [spec.name for spec in manifest.outputs if spec.name not in offered]
    if unknown:
        yield _mistake(f"`outputs` has {_listed(unknown)}", f"{kind} gives {_listed(offered)}")
    names = [spec.name for spec in manifest.inputs]
    matrix = len(names) == 1 and len(manifest.inputs[0].shape) > 1
    fitted = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    if fitted and matrix:
        yield _mistake("`inputs` is one array", f"{kind} was fitted to columns: {_listed(fitted)}")
    elif fitted and sorted(fitted) != sorted(names):
        lacks = [name for name in fitted if name not in names]
        surplus = [name for name in names if name not in fitted]
        parts = [f"lacks {_listed(lacks)}"] if lacks else []
        parts += [f"has {_listed(surplus)}, which the model was not fitted to"] if surplus else []
        yield _mistake(f"`inputs` {' and '.join(parts)}", f"{kind} was fitted to {_listed(fitted)}")
    elif fitted and fitted != names:
        yield _mistake("`inputs` is in another order than the columns of training", f"it was {_listed(fitted)}")
    width = getattr(estimator, "n_features_in_", None)
    declared = manifest.inputs[0].shape[1] if matrix else len(names)
    if width is not None and not fitted and declared not in (-1, width):
        yield _mistake(f"`inputs` has {declared} columns", f"{kind} was fitted to {width}")
    yield from _against_classes(manifest, estimator, kind)


def _against_classes(manifest: Manifest, estimator: Any, kind: str) -> Iterator[ModelRejected]:
    classes = getattr(estimator, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.ndim != 1:
        return
    known: list[ClassLabel] = classes.tolist()
    if manifest.task != "classification":
        yield _mistake(f"`task` is {manifest.task}", f"{kind} is a classifier")
    elif manifest.classes is None:
        yield _mistake("`classes` is absent", f"the model's classes are {json.dumps(known[:NAMED])}")
    elif [class_name(label) for label in manifest.classes] != [class_name(label) for label in known]:
        yield _mistake(
            f"`classes` is {json.dumps(list(manifest.classes)[:NAMED])}",
            f"the model's classes are {json.dumps(known[:NAMED])}, in this order",
        )


def _against_answers(manifest: Manifest, model: Model, body: bytes) -> Iterator[GitopsError]:
    names = [spec.name for spec in manifest.outputs]
    for number, each in enumerate((body, repeated(body))):
        try:
            columns, rows = read_columns(*parse_request(each, len(each)), manifest.inputs)
        except Exception as error:  # ProtocolError, and what a hostile file makes of it
            yield InputError(
                f"{EXAMPLE} is no request for this model",
                why=str(error),
                fix=f"correct {EXAMPLE}, or `inputs` in manifest.json",
            )
            return
        try:
            values = _answer(model, columns, names)
            again = _answer(model, columns, names)
        except Exception as error:  # the model is foreign code
            several = f" with its row {rows // max(1, rows // 3)} times" if number else ""
            yield ModelRejected(
                f"the model fails on its own {EXAMPLE}{several}",
                why=f"{type(error).__name__}: {error}",
                fix=f"correct {EXAMPLE}, or `inputs` in manifest.json, or train again",
            )
            return
        problems = list(_against_outputs(manifest, model, values, rows))
        yield from problems
        moved = unsteady(values, again)
        if moved:
            yield ModelRejected(
                f"{_listed(moved)} of the model answers differently at each call",
                why="a new version could not be compared with it",
                fix="set the random_state of what is random at prediction, and train again",
            )
        if problems or moved:
            return


def _against_outputs(manifest: Manifest, model: Model, values: Mapping[str, Any], rows: int) -> Iterator[ModelRejected]:
    for spec in manifest.outputs:
        try:
            labels = manifest.task == "classification" and is_column(spec)
            conform(values[spec.name], spec, rows, model.title, labels=labels)
        except WrongOutputError as error:
            seen = _seen(values[spec.name])
            yield _mistake(
                f"`outputs` does not say what {spec.name} is", f"{error}" + (f"; it is {seen}" if seen else "")
            )


def _seen(value: Any) -> str:
    """How the manifest would declare an output, if it can."""
    array = np.asarray(value) if not hasattr(value, "toarray") else None
    if array is None or array.ndim == 0:
        return ""
    kinds = {np.dtype(kind): name for name, kind in NUMPY_TYPES.items()}
    datatype = kinds.get(array.dtype, "BYTES" if array.dtype.kind in "OUS" else "")
    return f"{datatype} {json.dumps([-1, *array.shape[1:]])}" if datatype else ""


def _notes(manifest: Manifest, model: Model, body: bytes) -> list[str]:
    """Which inputs may not be missing: users will send such rows."""
    optional = [spec for spec in manifest.inputs if spec.datatype.startswith("FP") or spec.datatype == "BYTES"]
    refusing = [spec.name for spec in optional if not _answers_without(spec, manifest, model, body)]
    return [f"a row without {_listed(refusing)} gets no answer: the model takes no missing value"] if refusing else []


def _answers_without(spec: Tensor, manifest: Manifest, model: Model, body: bytes) -> bool:
    request = json.loads(body)
    for tensor in request["inputs"]:
        if tensor["name"] == spec.name:
            flat = np.asarray(tensor["data"], dtype=object).ravel().tolist()
            tensor["data"] = [None, *flat[1:]]
    text = json.dumps(request).encode()
    try:
        columns, _ = read_columns(*parse_request(text, len(text)), manifest.inputs)
        _answer(model, columns, [each.name for each in manifest.outputs])
    except Exception:
        return False
    return True


def _answer(model: Model, columns: Mapping[str, Any], names: list[str]) -> Mapping[str, Any]:
    return dict(awaited(model.predict(dict(columns), names)))


def _mistake(what: str, why: str) -> ModelRejected:
    return ModelRejected(f"manifest.json: {what}", why=why, fix=EDIT)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
