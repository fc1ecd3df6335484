"""Answers of hostile model servers: whatever they say, it is an error of that server, and of no other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitops_ml.clients.engine.streams import bounded, pack, split_frames, unpack
from gitops_ml.clients.engine.types import ExecResult, TooMuchOutput
from gitops_ml.clients.gateway.probing import readiness
from gitops_ml.clients.gateway.probing.answers import decoded, whole_answer
from gitops_ml.clients.gateway.probing.probe import parse_results
from gitops_ml.clients.gateway.probing.samples import read_samples
from gitops_ml.clients.gateway.server_metrics import split_answers
from gitops_ml.clients.gateway.shadow_traffic import Tally, tallies
from gitops_ml.core.verification.samples import parse_samples
from gitops_ml.errors import InputError, ModelRejected

DEEP = b"[" * 100_000
GOOD: dict[str, Any] = {
    "ready": True,
    "ready_seconds": 0.5,
    "error": None,
    "metadata": {"versions": ["v1"]},
    "smoke": {"ok": True, "seconds": 0.1, "error": None, "outputs": {"predict": [1.5]}},
    "outputs": [{"predict": [1.0, "a", None]}],
    "seconds": 0.2,
    "rows": 3,
}


def results(**changes: Any) -> bytes:
    """A result.json of one good target and of one with these changes."""
    return json.dumps({"targets": {"good": GOOD, "bad": GOOD | changes}}).encode()


def test_a_whole_result_comes_through() -> None:
    assert parse_results(results(), ["good", "bad"]) == {"good": GOOD, "bad": GOOD}


def test_a_model_may_answer_nan() -> None:
    parsed = parse_results(results(outputs=[{"predict": [float("nan")]}]), ["good", "bad"])
    assert str(parsed["bad"]["outputs"]) == "[{'predict': [nan]}]"


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": "text"},
        {"outputs": [1]},
        {"outputs": [{"predict": 1}]},
        {"metadata": [1]},
        {"ready": "yes"},
        {"smoke": {"ok": True}},
    ],
)
def test_a_malformed_result_is_its_own_targets_error(changes: dict[str, Any]) -> None:
    parsed = parse_results(results(**changes), ["good", "bad"])
    assert parsed["good"] == GOOD
    assert not parsed["bad"]["ready"]
    assert parsed["bad"]["error"].startswith("its answers are malformed: ")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", DEEP, b"\xff", b'{"targets": 1}', b'{"targets": {}}'])
def test_a_result_that_cannot_be_read_is_an_error_of_each_target(content: bytes) -> None:
    parsed = parse_results(content, ["good"])
    assert "malformed" in parsed["good"]["error"]


# --- readiness


TARGETS = [
    {"name": "m", "url": "http://m:8080", "model": "m", "expect": {"version": "v1"}},
]
METADATA = b'{"versions": ["v1"]}'
OUTPUTS = b'{"outputs": [{"name": "p", "datatype": "INT64", "shape": [1], "data": [2]}]}'


def ready(metadata: bytes, outputs: bytes) -> dict[str, Any] | None:
    return readiness._results(TARGETS, [b"10", metadata, b"5", outputs], 1, 0.0)


def test_a_ready_server_has_its_metadata_and_its_outputs() -> None:
    found = ready(METADATA + b" ok", OUTPUTS + b" ok")
    assert found and found["m"]["smoke"]["outputs"] == {"p": [2]}


@pytest.mark.parametrize(
    ("metadata", "outputs"),
    [
        (METADATA, OUTPUTS + b" ok"),
        (METADATA + b" ok", OUTPUTS),
        (b'{"versions": {"a": 1}} ok', OUTPUTS + b" ok"),
        (DEEP + b" ok", OUTPUTS + b" ok"),
        (METADATA + b" ok", DEEP + b" ok"),
        (METADATA + b" ok", b'{"outputs": [{"name": "p", "datatype": "INT64", "shape": [], "data": [2]}]} ok'),
        (b"", b""),
    ],
)
def test_anything_else_is_left_to_the_probe(metadata: bytes, outputs: bytes) -> None:
    assert ready(metadata, outputs) is None


# --- counters and live rows


def test_counters_are_read_under_the_mark_alone() -> None:
    line = 'gitops_ml_inference_requests_total{code="%s"} %s\n'
    forged = "= b:1\n" + line % (500, "9.0")
    output = "mark a:1\n" + line % (200, "7.0") + forged + "mark b:1\n" + line % (200, "1e+03") + "mark c:1\n\n"
    assert tallies(split_answers(output, "mark"), None) == {"a": Tally(requests=16, bad=9), "b": Tally(requests=1000)}


@pytest.mark.parametrize("count", ["1e999", "..", "NaN", "-1", "1" * 400, "e"])
def test_a_counter_that_is_no_number_does_not_count(count: str) -> None:
    bucket = f'gitops_ml_inference_seconds_bucket{{le="{count}"}} {count}\n'
    text = f'mark a:1\ngitops_ml_inference_requests_total{{code="200"}} {count}\n{bucket}'
    assert tallies(split_answers(text, "mark"), 0.1) == {"a": Tally()}


class Answering:
    """An engine whose script answers with these bytes, one after the other."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)

    def exec_script(self, *_: object, **__: object) -> ExecResult:
        return ExecResult(code=0, stdout=self.answers.pop(0), stderr=b"wget: refused")


def sample(name: str) -> bytes:
    tensor = {"name": name, "datatype": "FP64", "shape": [1], "data": [1.0]}
    return json.dumps({"rows": 1, "inputs": [tensor]}).encode() + b"\nok"


def test_live_rows_of_servers_that_answer_are_enough() -> None:
    engine: Any = Answering(b"", sample("x"), b'{"rows": 1', DEEP + b"\nok")
    assert read_samples(engine, "gateway", [(name, 1) for name in "abcd"]).rows == 1


@pytest.mark.parametrize("answer", [b"", b"{}", b'{"rows": "1"}\nok', DEEP + b"\nok", b"\xff\nok", b"[]\nok"])
def test_without_live_rows_the_reason_is_said(answer: bytes) -> None:
    engine: Any = Answering(answer)
    with pytest.raises(InputError) as caught:
        read_samples(engine, "gateway", [("a", 1)])
    assert "a:1" in caught.value.why


def test_an_answer_is_whole_and_decodes_or_the_model_is_at_fault() -> None:
    with pytest.raises(ModelRejected, match="did not come whole"):
        whole_answer(b"{}", "m:1", b" ok")
    with pytest.raises(ModelRejected, match="is malformed"):
        decoded(DEEP, "m:1", parse_samples)


# --- bounds


def test_reading_ends_at_its_limit() -> None:
    endless = iter(lambda: b"x" * 1000, b"")
    with pytest.raises(TooMuchOutput, match="more than 10,000 bytes"):
        list(bounded(endless, 10_000, "reading"))


def test_reading_ends_at_its_deadline() -> None:
    with pytest.raises(TimeoutError):
        list(bounded([b"x"], 10, "reading", deadline=0.0))


def test_files_are_packed_and_unpacked() -> None:
    files = {"a/b": b"1", "c": b""}
    assert unpack([pack({"d/": b"", **files})], strip=0) == files


def test_frames_are_split_by_stream_and_a_cut_one_gives_what_came() -> None:
    raw = b"\x01\0\0\0\0\0\0\2hi" + b"\x02\0\0\0\0\0\0\3oop" + b"\x01\0\0\0\0\0\0\5th"
    assert split_frames(raw) == (b"hith", b"oop")
