"""`serve.request` and `serve.response`: how an application that is not our model server is asked, and what it answers.

The request's body is JSON as a person would write it, with `${…}` where values go. The response names where in the
answer each output is. Both hold expressions of JMESPath, and nothing that could run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gitops_ml.core.declaration.artifact import Artifact
from gitops_ml.core.declaration.expressions import MAX_CHARACTERS, compile_expression, names_read
from gitops_ml.core.declaration.values import DeclaredStruct, UrlPath

ROWS_AT_ONCE = 100
"""Rows in one request, where the body takes several and `batch` is not declared."""
_VARIABLES = ("row", "rows", "columns")
_MAX_DEPTH = 16
_MAX_VALUES = 1000
_FOREIGN = ("{{", "{%", "{#")
_Expression = Annotated[
    str, Meta(min_length=1, max_length=MAX_CHARACTERS, description="a JMESPath expression over the answer")
]


class Request(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the application is asked for predictions.

    `body`: the JSON that it takes. A text `${…}` in it is a JMESPath expression, replaced by its value: of `row` (an
    object of one row's inputs by name; a request for each row), or of `rows` (a list of such objects) or `columns`
    (an object of lists by name). `batch`: the most rows in one request, by default 100; not with `row`.
    """

    path: UrlPath
    body: Any
    method: Literal["POST", "PUT"] = "POST"
    batch: Annotated[int, Meta(ge=1, le=10_000)] | None = None

    def __post_init__(self) -> None:
        _require_bounded(self.body)
        used = {name for text in _texts(self.body) for name in _variables(text)}
        if not used:
            raise ValueError("`body` holds no ${row…}, ${rows…} or ${columns…}, so every row would get the same answer")
        if "row" in used and len(used) > 1:
            raise ValueError("`body` uses `row`, which is one row, together with `rows` or `columns`; use one kind")
        if "row" in used and self.batch is not None:
            raise ValueError("`batch` does not go with ${row…}, which asks for one row at a time; use ${rows…}")

    @property
    def single(self) -> bool:
        """Whether each request is for one row, and its answer of that row alone."""
        return any("row" in _variables(text) for text in _texts(self.body))

    @property
    def rows_at_once(self) -> int:
        """The most rows in one request."""
        return 1 if self.single else self.batch or ROWS_AT_ONCE


class Response(DeclaredStruct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where in the answer each output is, as JMESPath: one value for each row (for `predict_proba` also a list), or
    with `${row…}` the value of that row. Without `predict`, the most probable class is the prediction.
    """

    predict: _Expression | None = None
    predict_proba: _Expression | None = None

    def __post_init__(self) -> None:
        if not self.places:
            raise ValueError("it names neither `predict` nor `predict_proba`, and needs one of them")
        for place in self.places.values():
            compile_expression(place)

    @property
    def places(self) -> dict[str, str]:
        """The expression of each output, by the output's name."""
        named = {"predict": self.predict, "predict_proba": self.predict_proba}
        return {name: place for name, place in named.items() if place is not None}


class AnswerMapping(msgspec.Struct, frozen=True, kw_only=True):
    """The mapping of one generation, and the artifact of its model, which describes inputs and outputs."""

    request: Request
    response: Response
    artifact: Artifact


def expression_in(text: str) -> str | None:
    """The expression that a text of a body stands for; None where the text is itself."""
    return text[2:-1] if text.startswith("${") and text.endswith("}") else None


def _variables(text: str) -> frozenset[str]:
    expression = expression_in(text)
    return frozenset() if expression is None else names_read(expression)


def _require_bounded(body: Any) -> None:
    """Check a body's size, and each of its texts. Raises `ValueError`."""
    for number, (value, depth) in enumerate(_values(body, 0)):
        if depth > _MAX_DEPTH or number >= _MAX_VALUES:
            raise ValueError(f"`body` may have {_MAX_VALUES} values, nested {_MAX_DEPTH} levels deep")
        if not _is_json(value):
            raise ValueError(f"`body` holds {str(value)[:40]!r}, which is no JSON; put a text into quotes")
    for text in _texts(body):
        expression = expression_in(text)
        if expression is None and ("${" in text or any(mark in text for mark in _FOREIGN)):
            raise ValueError(
                f"{text[:80]!r} in `body` is no template: write a whole text '${{expression}}' in JMESPath, such as "
                "'${rows}', '${rows[].[age, plan]}' or '${row.age}'"
            )
        if expression is not None:
            unknown = sorted(names_read(expression) - set(_VARIABLES))
            if unknown:
                raise ValueError(
                    f"'{text[:80]}' in `body` reads {', '.join(unknown)}, and there is only {', '.join(_VARIABLES)}"
                )


def _is_json(value: Any) -> bool:
    """Whether a value is JSON by itself, whatever is inside it."""
    if isinstance(value, dict):
        return all(isinstance(key, str) for key in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | bool | int | list)


def _values(value: Any, depth: int) -> Iterator[tuple[Any, int]]:
    yield value, depth
    if depth <= _MAX_DEPTH and isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _values(each, depth + 1)


def _texts(body: Any) -> Iterator[str]:
    return (value for value, _ in _values(body, 0) if isinstance(value, str))
