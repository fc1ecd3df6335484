"""The server keeps to its OpenAPI description: schemathesis makes requests from it, and checks the answers."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from sklearn.pipeline import Pipeline

from gitops_ml.serving.server import load_app
from tests.serving.artifacts import body, rows, write_artifact
from tests.serving.conftest import IDENTITY, ServerProcess

INFER = "/v2/models/delays/infer"
load_all_checks()
UNDECIDED = CHECKS.get_by_names(["positive_data_acceptance"])
"""No JSON Schema says that all inputs have the same number of rows, so a request that it allows may be refused."""


@pytest.fixture(scope="module")
def api(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = write_artifact(tmp_path_factory.mktemp("api") / "model", pipeline)
    app, _ = load_app({**IDENTITY, "GITOPS_ML_MODEL_DIR": str(folder)})
    return schemathesis.openapi.from_asgi("/openapi.json", app)


MODEL = "/v2/models/delays/versions/v1.2.0"
RIGHT, WRONG = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
OPERATIONS = [
    ("/v2", "GET", RIGHT),
    ("/v2/health/ready", "GET", RIGHT),
    (MODEL, "GET", RIGHT),
    (f"{MODEL}/ready", "GET", RIGHT),
    (f"{MODEL}/infer", "POST", RIGHT),
    ("/v2/models", "GET", RIGHT),
    ("/v2/repository/index", "POST", RIGHT),
    (INFER, "POST", WRONG),
]


@pytest.mark.parametrize(("path", "method", "mode"), OPERATIONS)
def test_answers_are_as_described(api: Any, path: str, method: str, mode: GenerationMode) -> None:
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    @settings(max_examples=25 if method == "POST" else 2, deadline=None, suppress_health_check=list(HealthCheck))
    def check(case: Any) -> None:
        case.call_and_validate(excluded_checks=UNDECIDED)

    check()


def test_real_requests_and_answers_are_as_described(server: ServerProcess) -> None:
    api = server.ask("GET", "/openapi.json")[1]

    def validator(name: str) -> Any:
        return jsonschema_rs.validator_for({**api, "$ref": f"#/components/schemas/{name}"})

    request = body(rows(20), id="a", outputs=[{"name": "predict"}, {"name": "predict_proba"}])
    status, answer = server.ask("POST", INFER, request)
    assert status == 200
    assert validator("InferenceRequest").is_valid(request)
    validator("InferenceResponse").validate(answer)
    validator("Error").validate(server.ask("POST", INFER, {})[1])
    request["inputs"][0]["datatype"] = "INT8"
    assert not validator("InferenceRequest").is_valid(request)


def test_the_protocols_paths_are_described(server: ServerProcess) -> None:
    """Those of the Open Inference Protocol's own description, open_inference_rest.yaml, for this model."""
    model = "/v2/models/delays/versions/v1.2.0"
    paths = server.ask("GET", "/openapi.json")[1]["paths"]
    described = {"/v2", "/v2/models", "/v2/health/live", "/v2/health/ready", model, f"{model}/ready", f"{model}/infer"}
    assert described <= set(paths)
    assert server.ask("GET", "/delays/openapi.json")[1]["paths"] == paths
