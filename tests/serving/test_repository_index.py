"""The lists of models: Triton's repository index, and KServe's names."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest
import tritonclient.http as triton
from sklearn.pipeline import Pipeline

from gitops_ml.serving.server import load_app
from tests.serving.artifacts import write_artifact
from tests.serving.conftest import IDENTITY, ServerProcess

INDEX = "/v2/repository/index"
READY = [{"name": "delays", "version": "v1.2.0", "state": "READY", "reason": ""}]


@pytest.mark.parametrize("base", ["", "/delays"])
def test_tritonclient_lists_the_model(server: ServerProcess, base: str) -> None:
    assert triton.InferenceServerClient(server.url + base).get_model_repository_index() == READY
    assert server.ask("GET", base + "/v2/models") == (200, {"models": ["delays"]})


@pytest.mark.parametrize("request_body", [{}, {"ready": True}, {"ready": False}, {"ready": None}, {"extra": 1}])
def test_a_ready_model_is_listed_whatever_is_asked(server: ServerProcess, request_body: dict[str, object]) -> None:
    assert server.ask("POST", INDEX, request_body) == (200, READY)


@pytest.mark.parametrize("content", [b"[]", b'{"ready": 1}', b"{", b"\xff"])
def test_a_broken_request_for_the_index_is_the_clients_fault(server: ServerProcess, content: bytes) -> None:
    status, answer = server.ask("POST", INDEX, content)
    assert status == 400 and "the request for the index" in answer["error"]


def test_a_server_that_stops_lists_its_model_as_unavailable(pipeline: Pipeline, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "model", pipeline)
    app, _ = load_app({**IDENTITY, "GITOPS_ML_MODEL_DIR": str(folder)})
    app.draining = True

    async def ask(request_body: dict[str, bool]) -> list[dict[str, str]]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            return list((await client.post(INDEX, json=request_body)).json())

    assert [model["state"] for model in asyncio.run(ask({}))] == ["UNAVAILABLE"]
    assert asyncio.run(ask({"ready": True})) == []


def test_the_gateway_says_which_deployments_there_are(server: ServerProcess) -> None:
    """An entry is as in Triton's `extension_model_repository.md`, and as MLServer's types read it."""
    named = {"X-Gitops-Ml-Deployments": "churn,delays"}
    listed = [{"name": name, "state": "READY", "reason": ""} for name in ("churn", "delays")]
    for headers, expected in (
        ({}, READY),
        (named, listed),
        (named | {"X-Forwarded-Prefix": "/delays"}, READY),  # a client's own header, which the gateway passes on
    ):
        answer = server.ask("POST", INDEX, {"ready": True}, headers=headers)
        assert answer == (200, expected)
        names = [entry["name"] for entry in expected]
        assert server.ask("GET", "/v2/models", headers=headers) == (200, {"models": names})
