"""An application's answers, read through its mapping: outputs as of a model server, or why there are none."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from gitops_ml.artifacts.manifest import Manifest, Tensor, parse_manifest
from gitops_ml.control.checks.model import answers_in
from gitops_ml.core.declaration.mapping import Request, Response
from gitops_ml.core.verification.answers import NoAnswer
from gitops_ml.core.verification.applications import completed, exchange_of, read_answers, require_inputs
from gitops_ml.core.verification.probe_result import TargetResult, read_results
from gitops_ml.core.verification.verdict import judge_ready, judge_smoke
from gitops_ml.errors import ModelRejected

ROWS = {
    "inputs": [
        {"name": "age", "datatype": "FP64", "shape": [3], "data": [31.0, None, 52.0]},
        {"name": "plan", "datatype": "BYTES", "shape": [3, 1], "data": [["a"], ["b"], ["c"]]},
        {"name": "pixels", "datatype": "INT64", "shape": [3, 2], "data": [1, 2, 3, 4, 5, 6]},
    ]
}
MANIFEST = Manifest(
    name="churn",
    task="classification",
    classes=("no", "yes"),
    inputs=(Tensor(name="age", datatype="FP64"), Tensor(name="plan", datatype="BYTES")),
)


def bodies_of(body: Any, batch: int | None = None) -> list[Any]:
    asked = exchange_of(Request(path="/", body=body, batch=batch), None, [ROWS])
    assert sum(asked.rows) == 3
    return [json.loads(text) for text in asked.bodies]


def test_the_rows_of_a_request_are_sent_as_the_template_says() -> None:
    assert bodies_of({"n": 1, "instances": "${rows[].[age, plan, pixels]}"}) == [
        {"n": 1, "instances": [[31.0, "a", [1, 2]], [None, "b", [3, 4]], [52.0, "c", [5, 6]]]}
    ]
    assert bodies_of("${columns.{a: age, p: plan}}", batch=2) == [
        {"a": [31.0, None], "p": ["a", "b"]},
        {"a": [52.0], "p": ["c"]},
    ]
    assert bodies_of({"x": {"age": "${row.age}"}}) == [{"x": {"age": 31.0}}, {"x": {"age": None}}, {"x": {"age": 52.0}}]


def test_a_request_that_leaves_an_input_out_is_refused() -> None:
    require_inputs(Request(path="/", body="${rows}"), MANIFEST)
    with pytest.raises(ModelRejected, match=r"does not send plan: the model's manifest has the inputs age, plan"):
        require_inputs(Request(path="/", body={"x": "${rows[].[age, plam]}"}), MANIFEST)


def test_an_expression_that_does_not_fit_the_inputs_is_refused() -> None:
    with pytest.raises(ModelRejected, match="does not fit the model's inputs"):
        bodies_of({"x": "${abs(columns.plan)}"})


def test_an_input_that_is_sent_as_a_number_or_by_its_length_is_sent() -> None:
    require_inputs(Request(path="/", body="${rows[].[age, to_number(plan)]}"), MANIFEST)
    require_inputs(Request(path="/", body={"x": "${columns.[age, map(&length(@), plan)]}"}), MANIFEST)


def test_a_value_that_json_does_not_have_is_refused() -> None:
    inputs = {"inputs": [{"name": "plan", "datatype": "BYTES", "shape": [1], "data": ["nan"]}]}
    with pytest.raises(ModelRejected, match="a value that JSON does not have"):
        exchange_of(Request(path="/", body={"x": "${rows[].to_number(plan)}"}), inputs, [])


def result(answers: list[Any], response: dict[str, str], body: Any = "${rows}") -> Any:
    """What becomes of these answers to the three rows, one request for the example and one for the held-out rows."""
    request = Request(path="/", body=body)
    exchange = exchange_of(request, ROWS, [ROWS])
    texts = [json.dumps(answer) for answer in answers]
    raw = {
        "ready": True,
        "smoke": {"ok": True, "seconds": 0.1, "error": None, "outputs": {}},
        "example_answers": texts,
        "answers": texts,
    }
    return read_results({"app": read_answers(request, Response(**response), raw, exchange)})["app"]


@pytest.mark.parametrize(
    ("answers", "response", "body", "outputs"),
    [
        (
            [
                {
                    "p": [
                        {"label": "no", "s": [0.9, 0.1]},
                        {"label": "yes", "s": [0.2, 0.8]},
                        {"label": "no", "s": [1, 0]},
                    ]
                }
            ],
            {"predict": "p[].label", "predict_proba": "p[].s"},
            "${rows}",
            {"predict": ["no", "yes", "no"], "predict_proba": [0.9, 0.1, 0.2, 0.8, 1, 0]},
        ),
        ([[1, 2.5, True]], {"predict": "@"}, "${rows}", {"predict": [1, 2.5, True]}),
        (
            [{"a": {"no": 0.3, "yes": 0.7}}, {"a": {"no": 1, "yes": 0}}, {"a": {"no": 0, "yes": 1}}],
            {"predict_proba": "a.[no, yes]"},
            {"x": "${row}"},
            {"predict_proba": [0.3, 0.7, 1, 0, 0, 1]},
        ),
    ],
)
def test_answers_become_outputs(answers: list[Any], response: dict[str, str], body: Any, outputs: Any) -> None:
    read = result(answers, response, body)
    assert read.error is None
    flat = {name: [v for each in read.outputs for v in each[name]] for name in outputs}
    assert flat == read.smoke.outputs == outputs


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"q": 1}, r"`p` of serve.response gives nothing in the answer {\"q\": 1}"),
        ({"p": [1, 2]}, "gives 2 values for 3 rows"),
        ({"p": "yes"}, 'gives "yes" for 3 rows'),
        ({"p": [1, {"a": 1}, 2]}, 'gives {"a": 1} for a row'),
        ({"p": [[1], [2, 3], [4]]}, "gives rows of 1, 2 values"),
        ({"p": [[[1]], [[2]], [[3]]]}, r"gives \[\[1\]\] for a row"),
    ],
)
def test_an_answer_that_does_not_match_is_the_verdict_of_the_check(answer: Any, why: str) -> None:
    read = result([answer], {"predict": "p"})
    assert read.outputs == ()
    check = judge_smoke(read)
    assert check.result == "fail"
    assert re.search(why, check.reason), check.reason


def test_a_value_that_a_function_does_not_take_is_an_error_of_the_answer() -> None:
    check = judge_smoke(result([{"p": "x"}], {"predict": "sort(p)"}))
    assert check.result == "fail" and "`sort(p)` of serve.response.predict cannot be evaluated" in check.reason


def test_later_answers_that_do_not_match_leave_the_smoke_check_alone() -> None:
    request = Request(path="/", body="${rows}")
    raw = {
        "ready": True,
        "smoke": {"ok": True, "seconds": 0.1, "error": None, "outputs": {}},
        "example_answers": ["[1, 2, 3]"],
        "answers": ["[1, 2]"],
    }
    read = read_results({"a": read_answers(request, Response(predict="@"), raw, exchange_of(request, ROWS, [ROWS]))})
    assert judge_smoke(read["a"]).result == "pass"
    assert read["a"].error == "request 1 of 1: `@` of serve.response gives 2 values for 3 rows"


@pytest.mark.parametrize(
    ("outputs", "classes", "positive", "expected"),
    [
        ({"predict_proba": [0.2, 0.9]}, ["no", "yes"], "yes", (["no", "yes"], [0.8, 0.2, 0.1, 0.9])),
        ({"predict_proba": [0.2, 0.9]}, ["no", "yes"], None, (["no", "yes"], [0.8, 0.2, 0.1, 0.9])),
        ({"predict_proba": [0.2, 0.9]}, ["no", "yes"], "no", (["yes", "no"], [0.2, 0.8, 0.9, 0.1])),
        ({"predict_proba": [0.2, 0.3, 0.5, 0.4, 0.4, 0.2]}, [7, 8, 9], None, ([9, 7], [0.2, 0.3, 0.5, 0.4, 0.4, 0.2])),
        (
            {"predict": ["no", "no"], "predict_proba": [0.2, 0.9]},
            ["no", "yes"],
            "yes",
            (["no", "no"], [0.8, 0.2, 0.1, 0.9]),
        ),
    ],
)
def test_probabilities_complete_each_other_and_the_prediction(
    outputs: dict[str, list[Any]], classes: list[Any], positive: Any, expected: tuple[list[Any], list[float]]
) -> None:
    document = {
        "name": "churn",
        "task": "classification",
        "classes": classes,
        "inputs": [{"name": "age", "datatype": "FP64"}],
        "target": {"name": "left", "positive": positive},
    }
    both = completed(outputs, 2, parse_manifest(json.dumps(document).encode()))
    assert both["predict"] == expected[0]
    assert both["predict_proba"] == pytest.approx(expected[1])


@pytest.mark.parametrize("outputs", [{"predict": [1.5, 2.5]}, {"predict_proba": ["a", "b"]}, {"predict_proba": [1.0]}])
def test_what_cannot_be_completed_stays(outputs: dict[str, list[Any]]) -> None:
    manifest = MANIFEST if "predict_proba" in outputs else Manifest(name="price", inputs=MANIFEST.inputs)
    assert completed(outputs, 2, manifest) == outputs


def test_a_number_beyond_all_floats_is_no_answer() -> None:
    answered = TargetResult(ready=True, outputs=({"predict_proba": [10**400, 0.5]},), row_counts=(1,))
    given = answers_in(answered, MANIFEST)
    assert isinstance(given, NoAnswer) and given.refused


def test_readiness_of_an_application_says_what_it_knows() -> None:
    assert (
        judge_ready(TargetResult(ready=True, ready_seconds=0.2), "/healthz answers 200").reason
        == "/healthz answers 200 after 0.2 s"
    )
    assert "its metadata is as declared" in judge_ready(TargetResult(ready=True)).reason
