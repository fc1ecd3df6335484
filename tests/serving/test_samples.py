"""Samples of live rows: which rows are kept, and who may read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from gitops_ml.artifacts.manifest import Tensor
from gitops_ml.core.planning.route import PIN_HEADER
from gitops_ml.serving.samples import AT_ONCE, MOST_BYTES, Samples
from tests.serving.artifacts import body, rows
from tests.serving.conftest import ServerProcess, Start

INFER = "/v2/models/delays/infer"
SAMPLES = "/gitops-ml/samples"
USER = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Host": "models.example.org"}
TENSORS = (
    Tensor(name="x", datatype="FP64", shape=(-1,)),
    Tensor(name="kind", datatype="BYTES", shape=(-1,)),
    Tensor(name="pixels", datatype="FP32", shape=(-1, 3)),
)


class Clock:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.at = 1_000_000.0

    def __call__(self) -> float:
        return self.at


def made(clock: Clock, rows: int = 512, per_second: float = 10.0) -> Samples:
    return Samples(TENSORS, rows, per_second, clock)


def record(samples: Samples, count: int, first: float = 0.0) -> None:
    x = first + np.arange(count, dtype=float)
    columns = {"x": x, "kind": [f"k{v:g}" for v in x], "pixels": np.repeat(x[:, None], 3, axis=1).astype("float32")}
    samples.record(columns, {"predict": (x > 2).astype(int), "predict_proba": np.column_stack([1 - x, x])}, count)  # type: ignore[arg-type]


def read(samples: Samples) -> dict[str, Any]:
    return dict(msgspec.json.decode(samples.content()))


def test_rows_keep_their_inputs_and_answers_together() -> None:
    samples = made(Clock())
    record(samples, 5)
    sample = read(samples)
    x, kind, pixels = sample["inputs"]
    assert (x["shape"], x["data"], kind["data"]) == ([5], [0, 1, 2, 3, 4], ["k0", "k1", "k2", "k3", "k4"])
    assert (pixels["shape"], pixels["data"][:6]) == ([5, 3], [0, 0, 0, 1, 1, 1])
    assert sample["outputs"] == {
        "predict": [0, 0, 0, 1, 1],
        "predict_proba": [[1, 0], [0, 1], [-1, 2], [-2, 3], [-3, 4]],
    }


def test_missing_values_are_null() -> None:
    samples = made(Clock())
    columns = {"x": np.array([np.nan]), "kind": [None], "pixels": np.zeros((1, 3))}
    samples.record(columns, {"predict": np.array([np.nan])}, 1)  # type: ignore[arg-type]
    sample = read(samples)
    assert [t["data"] for t in sample["inputs"]] == [[None], [None], [0, 0, 0]]
    assert sample["outputs"] == {"predict": [None]}


def test_the_newest_rows_are_kept() -> None:
    clock = Clock()
    samples = made(clock, rows=10)
    for n in range(30):
        clock.at += 1
        record(samples, 1, first=n)
    sample = read(samples)
    assert sample["inputs"][0]["data"] == list(range(20, 30))
    assert (sample["rows"], sample["capacity"], sample["seen"]) == (10, 10, 30)
    assert sample["from"] == "1970-01-12T13:47:01+00:00"


def test_a_batch_gives_few_rows_drawn_at_random() -> None:
    samples = made(Clock())
    record(samples, 10_000)
    drawn = read(samples)["inputs"][0]["data"]
    assert len(drawn) == AT_ONCE
    assert max(drawn) > 5_000


def test_the_rows_a_second_are_bounded() -> None:
    clock = Clock()
    samples = made(clock, per_second=10)
    for _ in range(1000):
        clock.at += 0.01
        record(samples, 1)
    assert AT_ONCE <= read(samples)["rows"] <= AT_ONCE + 100


def test_a_wide_model_keeps_fewer_rows() -> None:
    clock = Clock()
    samples = made(clock)
    wide = {"x": np.zeros(1), "kind": ["y" * (MOST_BYTES // 4)], "pixels": np.zeros((1, 3))}
    for _ in range(10):
        clock.at += 1
        samples.record(wide, {}, 1)  # type: ignore[arg-type]
    assert read(samples)["rows"] == 3
    samples.record(wide | {"kind": ["y" * 2 * MOST_BYTES]}, {}, 1)  # type: ignore[arg-type]
    assert read(samples)["rows"] == 3


def test_no_rows_are_kept_when_sampling_is_off() -> None:
    samples = made(Clock(), rows=0)
    record(samples, 5)
    sample = read(samples)
    assert (sample["rows"], sample["capacity"], sample["seen"]) == (0, 0, 0)


# --- through a real server


def test_users_requests_are_sampled_and_probes_are_not(server: ServerProcess) -> None:
    before = server.ask("GET", SAMPLES)[1]["seen"]
    assert server.ask("POST", INFER, body(rows(50, seed=3)))[0] == 200
    assert server.ask("GET", SAMPLES)[1]["seen"] == before
    frame = rows(3, seed=4)
    status, answer = server.ask("POST", INFER, body(frame), USER)
    assert status == 200
    sample = server.ask("GET", SAMPLES)[1]
    assert sample["seen"] == before + 3
    assert sample["inputs"][1]["data"][-3:] == frame["carrier"].tolist()
    predicted = next(o for o in answer["outputs"] if o["name"] == "predict")
    assert sample["outputs"]["predict"][-3:] == predicted["data"]


def test_a_request_that_chose_its_generation_is_not_sampled(server: ServerProcess) -> None:
    """Otherwise one client could stop a shadow, or hide how bad it is."""

    def counted() -> int:
        text = server.ask("GET", "/metrics")[1]
        return sum(int(float(n)) for n in re.findall(r"gitops_ml_inference_requests_total\{[^}]*\} (\S+)", text))

    before, seen = counted(), server.ask("GET", SAMPLES)[1]["seen"]
    assert server.ask("POST", INFER, body(rows(2)), USER | {PIN_HEADER: "0" * 12})[0] == 200
    assert (counted(), server.ask("GET", SAMPLES)[1]["seen"]) == (before, seen)
    assert server.ask("POST", INFER, body(rows(2)), USER)[0] == 200
    assert counted() == before + 1


def test_sampled_rows_can_be_sent_again(server: ServerProcess) -> None:
    server.ask("POST", INFER, body(rows(2, seed=5)), USER)
    recorded = server.ask("GET", SAMPLES)[1]
    status, again = server.ask("POST", INFER, {"inputs": recorded["inputs"]})
    assert status == 200
    predicted = next(o for o in again["outputs"] if o["name"] == "predict")
    assert predicted["data"] == recorded["outputs"]["predict"]


def test_a_failed_request_is_not_sampled(server: ServerProcess) -> None:
    before = server.ask("GET", SAMPLES)[1]["seen"]
    assert server.ask("POST", INFER, {"inputs": []}, USER)[0] == 400
    assert server.ask("GET", SAMPLES)[1]["seen"] == before


@pytest.mark.parametrize("path", [SAMPLES, f"/delays{SAMPLES}"])
@pytest.mark.parametrize("header", ["X-Forwarded-For", "x-forwarded-prefix", "X-Forwarded-Server"])
def test_requests_through_the_gateway_cannot_read_the_samples(server: ServerProcess, path: str, header: str) -> None:
    assert server.ask("GET", path)[0] == 200
    assert server.ask("GET", path, headers={header: "x"}) == (404, {"error": "Not Found"})


def test_sampling_can_be_switched_off(start: Start, artifact: Path) -> None:
    server = start(artifact, GITOPS_ML_SAMPLES="0").wait_ready()
    assert server.ask("POST", INFER, body(rows(2)), USER)[0] == 200
    sample = server.ask("GET", SAMPLES)[1]
    assert (sample["rows"], sample["capacity"]) == (0, 0)
