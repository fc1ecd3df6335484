"""The checks of an application through its mapping: requests in its own form, and its answers as a model's outputs.

A model server speaks one protocol, so a probe reads its answers. An application answers in its own form: the probe
passes its JSON on, and it is read here, by expressions that the declaration names and that were bounded when it was
read. An application is as hostile as a model: an answer that does not match is an error of this one target.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import Manifest, Tensor, class_name
from gitops_ml.core.declaration.expressions import compile_expression, evaluate
from gitops_ml.core.declaration.mapping import Request, Response, expression_in
from gitops_ml.core.verification.probe_result import Outputs, Scalar
from gitops_ml.errors import ModelRejected

MAX_REQUEST_BYTES = 8 << 20
MAX_TEXT = 1000
"""Characters of one text in an answer, such as a class."""
MAX_WIDTH = 10_000
"""Values in one row of an output."""
_SHOWN = 120


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """What an application is asked. `example` and `bodies` are JSON texts, `example_rows` and `rows` their rows."""

    example: tuple[str, ...]
    example_rows: tuple[int, ...]
    bodies: tuple[str, ...]
    rows: tuple[int, ...]


def exchange_of(request: Request, example: Mapping[str, Any] | None, bodies: Sequence[Mapping[str, Any]]) -> Exchange:
    """The requests of a mapping for inference requests of the Open Inference Protocol v2.

    Args:
        example: the request of the smoke check; None asks none.
        bodies: the requests whose outputs are wanted.

    Raises `ModelRejected` where the template does not fit the model's inputs.
    """
    asked = list(_rendered(request, [] if example is None else [example]))
    wanted = list(_rendered(request, bodies))
    return Exchange(
        example=tuple(text for text, _ in asked),
        example_rows=tuple(count for _, count in asked),
        bodies=tuple(text for text, _ in wanted),
        rows=tuple(count for _, count in wanted),
    )


def _rendered(request: Request, bodies: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, int]]:
    """The request's body as JSON, and its rows, for all rows of these inference requests in their order."""
    at_once = request.rows_at_once
    for body in bodies:
        rows = list(_rows_of(body))
        for start in range(0, len(rows), at_once):
            batch = rows[start : start + at_once]
            text = _text(request, batch)
            if len(text) > MAX_REQUEST_BYTES:
                raise ModelRejected(
                    f"a request of {len(batch)} rows has {len(text):,} bytes by serve.request",
                    why=f"{MAX_REQUEST_BYTES:,} are allowed",
                    fix="lower serve.request.batch",
                )
            yield text, len(batch)


def _text(request: Request, rows: list[dict[str, Any]]) -> str:
    """The body of a request for these rows. Raises `ModelRejected`."""
    try:
        return json.dumps(_filled(request.body, _document(rows, request.single)), allow_nan=False)
    except ValueError as error:  # JMESPath's to_number gives NaN for the text of that name
        raise ModelRejected(
            "serve.request gives a value that JSON does not have", why=str(error), fix="correct serve.request.body"
        ) from error


def _rows_of(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each row's inputs by name: one value, or a list of them where the input is a matrix."""
    columns = {str(tensor["name"]): _column(tensor) for tensor in body["inputs"]}
    counts = {len(column) for column in columns.values()}
    if len(counts) != 1:
        raise ModelRejected("the inputs of the example have different numbers of rows", fix="correct example.json")
    for row in zip(*columns.values(), strict=True):
        yield dict(zip(columns, row, strict=True))


def _column(tensor: Mapping[str, Any]) -> list[Any]:
    shape, data = list(tensor["shape"]), list(_flat(tensor["data"]))
    count, width = int(shape[0]), math.prod(shape[1:])
    if len(data) != count * width:
        raise ModelRejected(
            f"input {tensor['name']} of the example holds {len(data)} values for shape {shape}",
            fix="correct example.json",
        )
    if len(shape) == 1 or shape[1:] == [1]:
        return data
    return [data[number * width : (number + 1) * width] for number in range(count)]


def _flat(data: Any) -> Iterator[Any]:
    """The values of a tensor's data; the depth was bounded when the example was read."""
    for value in data:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _document(rows: list[dict[str, Any]], single: bool) -> dict[str, Any]:
    if single:
        return {"row": rows[0]}
    return {"rows": rows, "columns": {name: [row[name] for row in rows] for name in rows[0]}}


def _filled(template: Any, document: Mapping[str, Any]) -> Any:
    """The template with each expression replaced by its value."""
    if isinstance(template, dict):
        return {key: _filled(value, document) for key, value in template.items()}
    if isinstance(template, list):
        return [_filled(value, document) for value in template]
    expression = expression_in(template) if isinstance(template, str) else None
    if expression is None:
        return template
    try:
        return evaluate(compile_expression(expression), document)
    except ValueError as error:
        raise ModelRejected(
            f"`{expression}` of serve.request does not fit the model's inputs", why=str(error), fix="correct it"
        ) from error


def require_inputs(request: Request, manifest: Manifest) -> None:
    """Check that the request depends on each input of the model: a misspelt name is null in JMESPath.

    Raises `ModelRejected` that names the inputs that change nothing.
    """

    def value(tensor: Tensor, changed: bool) -> Any:
        # Texts that to_number takes too, and of different lengths.
        kind, width = tensor.datatype, math.prod(tensor.shape[1:])
        one: Any = "10"[: 1 + changed] if kind == "BYTES" else changed if kind == "BOOL" else 1 + changed
        return one if width == 1 else [one] * width

    def row(changed: str) -> dict[str, Any]:
        return {tensor.name: value(tensor, tensor.name == changed) for tensor in manifest.inputs}

    before = _text(request, [row("")])
    unused = [tensor.name for tensor in manifest.inputs if _text(request, [row(tensor.name)]) == before]
    if unused:
        raise ModelRejected(
            f"serve.request does not send {', '.join(unused)[:_SHOWN]}",
            why=f"the model's manifest has the inputs {', '.join(t.name for t in manifest.inputs)[:_SHOWN]}",
            fix="correct serve.request.body, or remove the input from manifest.json",
        )


def read_answers(request: Request, response: Response, result: Mapping[str, Any], exchange: Exchange) -> dict[str, Any]:
    """The probe's result of an application in the form of a model server's, with outputs in the place of answers.

    An answer that does not match the mapping is the result's `error`, and the smoke check's if it is the example's.
    """
    read = {key: value for key, value in result.items() if key not in ("answers", "example_answers")}
    smoke = result.get("smoke") or {}
    if smoke.get("ok"):
        example: Outputs = {name: [] for name in response.places}
        try:
            for text, count in zip(result["example_answers"], exchange.example_rows, strict=True):
                for name, values in _outputs(text, response, count, request.single).items():
                    example[name] += values
        except _Mismatch as error:
            read["smoke"] = {**smoke, "ok": False, "error": str(error)}
            return read | {"error": f"smoke: {error}", "outputs": []}
        read["smoke"] = {**smoke, "outputs": example}
    outputs: list[Outputs] = []
    read["row_counts"] = list(exchange.rows)
    for number, (text, count) in enumerate(zip(result.get("answers") or (), exchange.rows, strict=False), 1):
        try:
            outputs.append(_outputs(text, response, count, request.single))
        except _Mismatch as error:
            return read | {"error": f"request {number} of {len(exchange.rows)}: {error}", "outputs": outputs}
    return read | {"outputs": outputs}


class _Mismatch(Exception):
    """An answer does not match the mapping."""


def _outputs(answer: str, response: Response, rows: int, single: bool) -> Outputs:
    document = json.loads(answer)
    return {
        name: _values(place, _evaluate(name, place, document), answer, rows, single)
        for name, place in response.places.items()
    }


def _evaluate(name: str, place: str, document: Any) -> Any:
    """The value of an output's expression. Raises `_Mismatch`."""
    try:
        return evaluate(compile_expression(place), document)
    except ValueError as error:
        raise _Mismatch(f"`{place}` of serve.response.{name} cannot be evaluated: {error}") from error


def _values(place: str, value: Any, answer: str, rows: int, single: bool) -> list[Scalar]:
    """The values of one output for these rows, flat. Raises `_Mismatch`."""
    shown = f"`{place}` of serve.response gives"
    if value is None:
        raise _Mismatch(f"{shown} nothing in the answer {answer[:_SHOWN]}")
    of_rows = [value] if single else value
    if not isinstance(of_rows, list) or len(of_rows) != rows:
        what = f"{len(of_rows)} values" if isinstance(of_rows, list) else f"{json.dumps(of_rows)[:_SHOWN]}"
        raise _Mismatch(f"{shown} {what} for {rows} rows")
    flat: list[Scalar] = []
    widths = set()
    for each in of_rows:
        of_row = each if isinstance(each, list) else [each]
        widths.add(len(of_row))
        if len(of_row) > MAX_WIDTH or not all(v is None or isinstance(v, str | int | float) for v in of_row):
            raise _Mismatch(f"{shown} {json.dumps(each)[:_SHOWN]} for a row, and a row is one value, or a list of them")
        flat += (v[:MAX_TEXT] if isinstance(v, str) else v for v in of_row)
    if len(widths) > 1:
        raise _Mismatch(f"{shown} rows of {', '.join(map(str, sorted(widths)))} values")
    return flat


def completed(outputs: Outputs, rows: int, manifest: Manifest) -> Outputs:
    """The outputs of an application to so many rows with what follows from them, by the model's classes.

    One probability a row is that of the positive class of two (the manifest's, else the second), which gives the
    other one. Without `predict`, the most probable class is the prediction; of equal ones the first, as in
    scikit-learn. What cannot be completed stays as it is: whoever reads it says what is missing.
    """
    classes, given = manifest.classes or (), outputs.get("predict_proba")
    if given is None or not classes or not all(isinstance(p, int | float) for p in given):
        return outputs
    probabilities = [float(p) for p in given if isinstance(p, int | float)]
    if len(classes) == 2 and len(probabilities) == rows:
        first = manifest.positive is not None and class_name(manifest.positive) == class_name(classes[0])
        probabilities = [q for p in probabilities for q in ((p, 1 - p) if first else (1 - p, p))]
    completion: Outputs = {**outputs, "predict_proba": [*probabilities]}
    width = len(classes)
    if "predict" not in outputs and len(probabilities) == rows * width:
        parts = (probabilities[start : start + width] for start in range(0, rows * width, width))
        completion["predict"] = [classes[part.index(max(part))] for part in parts]
    return completion
