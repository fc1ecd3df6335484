"""Asks a stored model through the server's own code, and compares its answers with those of the model in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gitops_ml.artifacts.facts import same
from gitops_ml.artifacts.inputs import inference_request, pick
from gitops_ml.artifacts.manifest import Manifest
from gitops_ml.errors import InputError
from gitops_ml.serving.messages import InferenceResponse
from gitops_ml.serving.prediction.loader import Model, load_model
from gitops_ml.serving.prediction.outputs import conform_all
from gitops_ml.serving.protocol import parse_request, read_columns, wanted_outputs, write_response


def rehearse(folder: Path, rows: Any, ask: Callable[[Any], Mapping[str, Any]]) -> None:
    """Load the artifact in `folder` and ask for one row, for the same row three times, and for all rows.

    Args:
        rows: rows of training, with missing values if the training data has some.
        ask: gives the answers of the model in memory, by output.

    Raises:
        ModelRejected: the artifact cannot be loaded.
        InputError: the stored model fails on the rows, or answers differently.
    """
    manifest, model = load_model(folder, allow_pickle=True)
    everything = list(range(rows.shape[0] if hasattr(rows, "shape") else len(rows)))
    complete = json.loads((folder / "example.json").read_bytes())
    _answers(model, manifest, complete)
    for positions in ([0], [0, 0, 0], everything):
        part = pick(rows, positions)
        served, expected = _answers(model, manifest, inference_request(part, manifest.inputs)), ask(part)
        for name, values in served.items():
            _compare(name, values, expected[name], manifest)


def _answers(model: Model, manifest: Manifest, request: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps(request).encode()
    try:
        parsed, binary = parse_request(body, len(body))
        wanted = wanted_outputs(parsed, manifest.outputs)
        columns, count = read_columns(parsed, binary, manifest.inputs)
        outputs = model.predict(columns, [spec.name for spec, _ in wanted])
        assert isinstance(outputs, Mapping)  # only a predictor class may be asynchronous
        arrays = conform_all(outputs, wanted, count, model.title, manifest)
        write_response(
            InferenceResponse(manifest.name, "", "", []), [(spec, False, arrays[spec.name]) for spec, _ in wanted]
        )
        return arrays
    except Exception as error:  # the model is foreign code
        raise InputError(
            "the model fails on rows of X as a client sends them",
            why=f"{type(error).__name__}: {error}",
            fix="fit the model to numbers, booleans and texts: a request has no categories, times or objects",
        ) from error


def _compare(name: str, served: Any, expected: Any, manifest: Manifest) -> None:
    if served.dtype == object:
        expected = np.array([None if value is None else str(value) for value in expected.ravel()], dtype=object)
        expected = expected.reshape(served.shape)
    if same(served, expected):
        return
    raise InputError(
        f"{name} of the stored model {manifest.name!r} differs from the model in memory",
        why=f"such as {served.ravel()[:3].tolist()} for {np.asarray(expected).ravel()[:3].tolist()}",
        fix="fit the model to numbers, booleans and texts, which a request keeps as they are",
    )
