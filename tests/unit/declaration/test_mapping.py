"""`serve.request` and `serve.response`: what they may say, and what is refused before anything is asked."""

from __future__ import annotations

import json
import time
from typing import Any

import msgspec
import pytest

from gitops_ml.artifacts.manifest import parse_manifest
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.core.declaration.expressions import compile_expression, evaluate, names_read
from gitops_ml.core.declaration.mapping import Request, Response
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import generation_of
from gitops_ml.core.planning.validation import require_plausible
from gitops_ml.core.verification.applications import require_inputs
from gitops_ml.errors import InputError
from tests.e2e.workshop import ROOT
from tests.unit.builders import wanted

IMAGE = f"shop@sha256:{'a' * 64}"
FILE = f"""schema: 1
model: churn
version: v1.0.0
serve:
  pattern: image
  image: {IMAGE}
  port: 8000
  request:
    path: /score
    body: BODY
  response:
    predict: results[].label
"""


@pytest.mark.parametrize(
    ("body", "single", "at_once"),
    [
        ({"instances": "${rows}"}, False, 100),
        ({"a": ["${rows[].[age, plan]}"], "model": "churn"}, False, 100),
        ({"age": "${columns.age}"}, False, 100),
        ({"age": "${row.age}", "plan": '${row."the plan"}'}, True, 1),
        ("${rows}", False, 100),
    ],
)
def test_a_body_is_json_with_expressions(body: Any, single: bool, at_once: int) -> None:
    request = Request(path="/score", body=body)
    assert (request.single, request.rows_at_once) == (single, at_once)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"x": 1}, "every row would get the same answer"),
        ({"x": "${row.age}", "y": "${rows}"}, "together with `rows` or `columns`"),
        ({"x": "id-${row.age}"}, "is no template"),
        ({"x": "{% for row in rows %}{{ row }}{% endfor %}"}, "is no template"),
        ({"x": "{{ ''.__class__.__mro__ }}"}, "is no template"),
        ({"x": "${rows.__class__}", "y": "${os.environ}"}, "reads os, and there is only row, rows, columns"),
        ({"x": "${@}"}, "reads @"),
        ({"x": "${rows[}"}, "is no JMESPath"),
        ({"x": "${eval(rows)}"}, "`eval` is no function that a mapping may use"),
        ({"x": "${[rows, &a]}"}, "belongs into map, max_by, min_by, sort_by alone"),
        ({"x": "${to_array(&rows)}"}, "belongs into map, max_by, min_by, sort_by alone"),
        ({"x": "${join(',', rows)}"}, "`join` is no function"),
        ({"x": f"${{{'[rows, rows] | ' * 3}[@, @] | [@, @] | [@, @] | [@, @] | [@, @]}}"}, "times as much as it reads"),
        ({"x": "${" + "!" * 400 + "rows}"}, "too deeply"),
        ({"x": "${rows" + "[]" * 300 + "}"}, "500 are allowed"),
        ({"x": [["${rows}"] * 30] * 40}, "may have 1000 values"),
        ({"x": float("nan"), "y": "${rows}"}, "is no JSON"),
        ({1: "${rows}"}, "is no JSON"),
    ],
)
def test_a_template_that_could_loop_or_reach_out_is_refused(body: Any, why: str) -> None:
    started = time.monotonic()
    with pytest.raises((ValueError, msgspec.ValidationError), match=why.replace("[", r"\[")):
        msgspec.convert({"path": "/score", "body": body}, Request)
    assert time.monotonic() - started < 1


def test_one_row_at_a_time_takes_no_batch() -> None:
    with pytest.raises(ValueError, match="one row at a time"):
        Request(path="/score", body={"x": "${row.age}"}, batch=10)


@pytest.mark.parametrize("response", [{}, {"predict": "a["}, {"predict": "&a"}, {"predict": "a" * 501}, {"label": "a"}])
def test_a_response_names_where_an_output_is(response: dict[str, str]) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        msgspec.convert(response, Response)


def test_a_mistake_names_its_file_and_line() -> None:
    with pytest.raises(InputError) as error:
        parse(FILE.replace("BODY", "{rows: '${clients}'}").encode(), "churn.yaml", Deployment)
    assert str(error.value).startswith("churn.yaml:8: serve.request: ")
    assert "reads clients, and there is only row, rows, columns" in str(error.value)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("rows[].[age, plan]", {"rows"}),
        ("rows[?age > `3`].plan | [0]", {"rows"}),
        ("sort_by(rows, &age)[].plan", {"rows"}),
        ("{a: columns.age, b: length(rows)}", {"columns", "rows"}),
        ("not_null(row.a, other)", {"row", "other"}),
        ("`1`", set()),
    ],
)
def test_an_expression_reads_its_document_by_names(expression: str, names: set[str]) -> None:
    assert names_read(expression) == names


def test_what_an_expression_may_give_is_bounded_by_what_it_reads() -> None:
    document = {"rows": ["x" * 1000] * 1000}
    widest = compile_expression("rows[].[@, @, @, @, @, @, @, @] | [].[@, @, @, @, @, @, @, @]")
    assert len(str(evaluate(widest, document))) < 70 * len(str(document))


def test_a_function_of_another_type_is_an_error_of_the_answer() -> None:
    with pytest.raises(ValueError):
        evaluate(compile_expression("sum(rows)"), {"rows": "text"})


def test_a_mapping_is_part_of_the_generation_and_only_of_it() -> None:
    declaration = parse(FILE.replace("BODY", "{rows: '${rows}'}").encode(), "churn.yaml", Deployment)
    other = parse(FILE.replace("BODY", "{all: '${rows}'}").encode(), "churn.yaml", Deployment)
    plain = msgspec.structs.replace(
        declaration, serve=msgspec.structs.replace(declaration.serve, request=None, response=None)
    )
    resolved = wanted("v1").resolved
    fingerprints = {
        generation_of(
            msgspec.structs.replace(resolved, declaration=each, digest=IMAGE),
            project="shop",
            commit="c" * 40,
            base="",
            serving_version=1,
        ).fingerprint
        for each in (declaration, other, plain)
    }
    assert len(fingerprints) == 3


def test_the_example_and_the_docs_declare_the_same_which_is_accepted() -> None:
    example = (ROOT / "examples" / "application" / "tumours.yaml").read_text()
    page = (ROOT / "docs" / "applications.md").read_text()
    assert f"```yaml\n{example}```" in page
    declaration = parse(example.encode(), "tumours.yaml", Deployment)
    require_plausible("tumours", declaration)
    manifest = parse_manifest((ROOT / "examples/application/serving/tumours/manifest.json").read_bytes())
    assert declaration.serve.request
    require_inputs(declaration.serve.request, manifest)


TABLE = [
    ("predictions", '{"predictions": [0, 1]}', [0, 1]),
    ("results[].p", '{"results": [{"label": "yes", "p": [0.1, 0.9]}]}', [[0.1, 0.9]]),
    ("[].scores.[no, yes]", '[{"scores": {"no": 0.1, "yes": 0.9}}]', [[0.1, 0.9]]),
    (
        "[*].sort_by(@, &label)[*].score",
        '[[{"label": "no", "score": 0.1}, {"label": "yes", "score": 0.9}]]',
        [[0.1, 0.9]],
    ),
    ("price", '{"price": 17.5}', 17.5),
]


@pytest.mark.parametrize(("place", "answer", "value"), TABLE)
def test_the_places_that_the_docs_show_give_what_they_say(place: str, answer: str, value: Any) -> None:
    page = (ROOT / "docs" / "applications.md").read_text()
    assert place in page and f"`{answer}`" in page
    assert evaluate(compile_expression(place), json.loads(answer)) == value


@pytest.mark.parametrize(
    ("serve", "why"),
    [
        ({"request": {"path": "/", "body": "${rows}"}}, "does not go with serve.pattern service"),
        ({"pattern": "image", "image": IMAGE, "port": 80, "response": {"predict": "@"}}, "and no `request:`"),
        (
            {"pattern": "image", "image": IMAGE, "port": 80, "request": {"path": "/", "body": "${rows}"}},
            "no `response:`",
        ),
    ],
)
def test_half_a_mapping_is_refused(serve: dict[str, Any], why: str) -> None:
    declaration = msgspec.convert({"schema": 1, "model": "m", "version": "v1.0.0", "serve": serve}, Deployment)
    with pytest.raises(InputError, match=why):
        require_plausible("churn", declaration)
