"""The protocol over HTTP as clients see it, with an unmodified tritonclient and without."""

from __future__ import annotations

import functools
import gzip
import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tritonclient.http as triton
from sklearn.pipeline import Pipeline

from gitops_ml.serving.probe import run
from tests.serving.artifacts import INPUTS, body, rows
from tests.serving.conftest import ServerProcess

INFER = "/v2/models/delays/infer"


def triton_inputs(frame: pd.DataFrame, *, binary: bool = True) -> list[Any]:
    inputs = []
    for spec in INPUTS:
        tensor = triton.InferInput(spec["name"], [len(frame)], spec["datatype"])
        tensor.set_data_from_numpy(frame[str(spec["name"])].to_numpy(), binary_data=binary)
        inputs.append(tensor)
    return inputs


@pytest.mark.parametrize("base", ["", "/delays"])
def test_tritonclient_reads_health_metadata_and_config(server: ServerProcess, base: str) -> None:
    client = triton.InferenceServerClient(server.url + base)
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("delays") and client.is_model_ready("delays", "v1.2.0")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    metadata = client.get_model_metadata("delays")
    assert metadata["versions"] == ["v1.2.0"]
    assert metadata["inputs"] == INPUTS
    assert metadata["parameters"] == {
        "model": "flight-delay",
        "version": "v1.2.0",
        "digest": "md5:6c1f",
        "generation": "g7",
    }
    assert [tensor["data_type"] for tensor in client.get_model_config("delays")["input"]] == [
        "TYPE_FP64",
        "TYPE_STRING",
        "TYPE_INT64",
    ]


@pytest.mark.parametrize("base", ["", "/delays"])
@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
@pytest.mark.parametrize("count", [1, 3000])
def test_tritonclient_gets_the_pipelines_predictions(
    server: ServerProcess, pipeline: Pipeline, base: str, binary_in: bool, binary_out: bool | None, count: int
) -> None:
    frame = rows(count, seed=7).fillna({"carrier": "AA", "distance": 1.0})
    outputs = None
    if binary_out is not None:
        names = ("predict_proba", "predict")
        outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    client = triton.InferenceServerClient(server.url + base)
    result = client.infer("delays", triton_inputs(frame, binary=binary_in), outputs=outputs, request_id="r1")
    assert result.get_response()["id"] == "r1"
    np.testing.assert_array_equal(result.as_numpy("predict"), pipeline.predict(frame))
    np.testing.assert_allclose(result.as_numpy("predict_proba"), pipeline.predict_proba(frame), rtol=1e-12)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_tritonclient_may_compress(server: ServerProcess, algorithm: str) -> None:
    frame = rows(3).fillna({"carrier": "AA"})
    client = triton.InferenceServerClient(server.url)
    result = client.infer("delays", triton_inputs(frame), request_compression_algorithm=algorithm)
    assert result.as_numpy("predict").shape == (3,)


@pytest.mark.parametrize("count", [1, 50, 5000])
def test_json_with_missing_values_gets_the_pipelines_predictions(
    server: ServerProcess, pipeline: Pipeline, count: int
) -> None:
    frame = rows(count, seed=3)
    status, answer = server.ask("POST", INFER, body(frame))
    assert status == 200, answer
    outputs = {output["name"]: output for output in answer["outputs"]}
    assert (answer["model_name"], answer["model_version"]) == ("delays", "v1.2.0")
    assert outputs["predict"]["data"] == pipeline.predict(frame).tolist()
    assert outputs["predict_proba"]["shape"] == [count, 2]
    np.testing.assert_allclose(outputs["predict_proba"]["data"], pipeline.predict_proba(frame).ravel())


def test_columns_may_be_nested_as_n_by_1(server: ServerProcess) -> None:
    request = body(rows(2))
    for tensor in request["inputs"]:
        tensor |= {"shape": [2, 1], "data": [[value] for value in tensor["data"]]}
    status, answer = server.ask("POST", INFER, request)
    assert (status, answer) == server.ask("POST", INFER, body(rows(2)))
    assert status == 200


def change(**tensor: Any) -> dict[str, Any]:
    request = body(rows(2))
    request["inputs"][0] |= tensor
    return request


BAD = {
    "broken JSON": (b"{", 400, "not an inference request"),
    "not UTF-8": (b'{"inputs": [{"name": "\xff"}]}', 400, "not an inference request"),
    "deep JSON": (b'{"inputs":' + b"[" * 100_000, 400, "not an inference request"),
    "no inputs": ({}, 400, "missing required field `inputs`"),
    "missing column": (
        {**body(rows(2)), "inputs": body(rows(2))["inputs"][1:]},
        400,
        "missing input 'distance'",
    ),
    "unknown column": (change(name="speed"), 400, "unknown input 'speed'; the model takes 'distance', 'carr"),
    "column twice": (change(name="hour", datatype="INT64", data=[1, 2]), 400, "given twice"),
    "wrong datatype": (change(datatype="FP32"), 400, "input 'distance' is FP64, not FP32"),
    "text for a number": (change(data=["1", "2"]), 400, "does not hold FP64 values"),
    "too few values": (change(data=[1.0]), 400, "has 1 values for shape [2]"),
    "other length": (change(shape=[1], data=[1.0]), 400, "has 2 rows, the inputs before it have 1"),
    "wrong rank": (change(shape=[1, 2]), 400, "has shape [1, 2], the model takes [-1]"),
    "negative shape": (change(shape=[-2]), 400, "has shape [-2]"),
    "no data": (change(data=None), 400, "does not hold FP64 values"),
    "no rows": (
        {"inputs": [{**spec, "shape": [0], "data": []} for spec in INPUTS]},
        400,
        "the inputs have no rows",
    ),
    "unknown output": (
        {**body(rows(1)), "outputs": [{"name": "x"}]},
        400,
        "unknown output 'x'; the model gives 'predict'",
    ),
    "binary beyond the end": (change(parameters={"binary_data_size": 16}), 400, "beyond the body's end"),
    "too large": (b" " * 4_000_001, 413, "larger than 4000000 bytes"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_requests_get_the_protocols_error(server: ServerProcess, case: str) -> None:
    request, wanted, message = BAD[case]
    status, answer = server.ask("POST", INFER, request)
    assert status == wanted, answer
    assert list(answer) == ["error"]
    assert message in answer["error"]


@pytest.mark.parametrize(
    ("method", "path", "wanted", "message"),
    [
        ("POST", "/v2/models/other/infer", 404, "unknown model 'other'; this server has 'delays'"),
        ("GET", "/v2/models/delays/versions/v9", 404, "unknown version 'v9'; this server has 'v1.2.0'"),
        ("GET", "/nowhere", 404, "Not Found"),
        ("GET", INFER, 405, "Method Not Allowed"),
    ],
)
def test_wrong_paths_get_the_protocols_error(
    server: ServerProcess, method: str, path: str, wanted: int, message: str
) -> None:
    assert server.ask(method, path) == (wanted, {"error": message})


def test_a_small_body_that_inflates_beyond_the_limit_is_refused(server: ServerProcess) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    assert len(bomb) < 100_000
    assert server.ask("POST", INFER, bomb, {"Content-Encoding": "gzip"})[0] == 413


def test_a_failed_request_leaves_its_kept_alive_connection_usable(server: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    statuses = []
    for content in (b"{", b" " * 4_000_001, json.dumps(body(rows(1))).encode()):
        connection.request("POST", INFER, content)
        response = connection.getresponse()
        response.read()
        statuses.append(response.status)
    connection.close()
    assert statuses == [400, 413, 200]


def test_a_binary_request_with_wrong_lengths_is_refused(server: ServerProcess) -> None:
    request = body(rows(1))
    request["inputs"][1] = {**INPUTS[1], "shape": [1], "parameters": {"binary_data_size": 8}}
    head = json.dumps(request).encode()
    for header, tail, message in [
        (str(len(head)), b"\xff\xff\xff\x7fAAAA", "beyond the end of its binary data"),
        (str(len(head)), b"\x04\0\0\0AAAABBBB", "belong to no input"),
        (str(len(head)), b"\x04\0\0\0\xff\xff\xff\xff", "not UTF-8"),
        ("99999999", b"", "the body has"),
        ("x", b"", "not a number of bytes"),
    ]:
        status, answer = server.ask("POST", INFER, head + tail, {"Inference-Header-Content-Length": header})
        assert status == 400
        assert message in answer["error"]


def test_many_clients_at_once_each_get_their_own_answer(server: ServerProcess, pipeline: Pipeline) -> None:
    frames = [rows(1 + index % 40, seed=index) for index in range(80)]

    def ask(frame: pd.DataFrame) -> list[int]:
        status, answer = server.ask("POST", INFER, body(frame))
        assert status == 200
        return list(answer["outputs"][0]["data"])

    with ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(ask, frames))
    assert answers == [pipeline.predict(frame).tolist() for frame in frames]


def test_health_answers_while_a_large_request_is_predicted(server: ServerProcess) -> None:
    large = json.dumps(body(rows(25_000))).encode()
    with ThreadPoolExecutor(1) as client:
        pending = client.submit(server.ask, "POST", INFER, large)
        slowest = 0.0
        while not pending.done():
            started = time.monotonic()
            assert server.ask("GET", "/v2/health/live")[0] == 200
            slowest = max(slowest, time.monotonic() - started)
        assert pending.result()[0] == 200
    assert slowest < 1.0


def metric(server: ServerProcess, name: str) -> float:
    text = server.ask("GET", "/metrics")[1]
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name)))


def test_metrics_count_requests_and_rows(server: ServerProcess) -> None:
    value = functools.partial(metric, server)
    server.ask("POST", INFER, b"{")  # so that both series exist
    names = ('gitops_ml_inference_requests_total{code="200"}', "gitops_ml_inference_rows_total")
    before = [value(name) for name in names]
    assert server.ask("POST", INFER, body(rows(30)))[0] == 200
    assert [value(name) for name in names] == [before[0] + 1, before[1] + 30]
    assert value('gitops_ml_inference_requests_total{code="400"}') >= 1
    assert value("gitops_ml_requests_in_flight") == 0
    assert value('gitops_ml_model_info{deployment="delays",digest="md5:6c1f"') == 1


def test_checks_of_gitops_ml_are_not_counted_as_users(server: ServerProcess) -> None:
    assert server.ask("POST", INFER, body(rows(1)))[0] == 200  # so that the series exists
    names = ('gitops_ml_inference_requests_total{code="200"}', "gitops_ml_inference_rows_total")
    before = [metric(server, name) for name in names]
    target = {"name": "candidate", "url": f"http://{server.url}", "model": "delays"}
    job = {"deadline": 20.0, "targets": [target], "example": body(rows(1))}
    result = run(job, [body(rows(5))])["targets"]["candidate"]
    assert (result["error"], result["smoke"]["ok"], result["rows"]) == (None, True, 5)
    assert server.ask("POST", INFER, body(rows(1)), {"X-Gitops-Ml-Generation": "g7"})[0] == 200
    assert [metric(server, name) for name in names] == before


def test_readiness_of_a_model_names_it(server: ServerProcess) -> None:
    for path in ("/v2/models/delays/ready", "/delays/v2/models/delays/versions/v1.2.0/ready"):
        assert server.ask("GET", path) == (200, {"name": "delays", "ready": True})


def test_null_is_absent(server: ServerProcess) -> None:
    request = body(rows(2), id=None, parameters=None, outputs=None)
    for tensor in request["inputs"]:
        tensor["parameters"] = None
    status, answer = server.ask("POST", INFER, request)
    assert (status, answer) == server.ask("POST", INFER, body(rows(2)))
    assert status == 200 and "id" not in answer
    request["outputs"] = [{"name": "predict", "parameters": None}]
    status, answer = server.ask("POST", INFER, request)
    assert status == 200 and [output["name"] for output in answer["outputs"]] == ["predict"]


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_number_that_json_lacks_is_explained(server: ServerProcess, value: str) -> None:
    content = json.dumps(body(rows(1))).replace(json.dumps(rows(1)["distance"][0]), value).encode()
    assert value.encode() in content
    status, answer = server.ask("POST", INFER, content)
    assert status == 400 and "write null for a missing value" in answer["error"]


@pytest.mark.parametrize("path", ["/v2/", "/v2/models/delays/", "/delays/v2/", "/v2/health/ready/", "/metrics/"])
def test_a_trailing_slash_is_no_redirect(server: ServerProcess, path: str) -> None:
    status, answer = server.ask("GET", path, headers={"Host": "models.example", "X-Forwarded-Proto": "https"})
    assert (status, bool(answer)) == (200, True)
    assert server.ask("POST", INFER + "/", body(rows(1)))[0] == 200


def test_a_server_that_does_not_publish_has_no_channel(server: ServerProcess) -> None:
    assert server.ask("GET", "/channel")[0] == server.ask("GET", "/gitops-ml/subscribers")[0] == 404
