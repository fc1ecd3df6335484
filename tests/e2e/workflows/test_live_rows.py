"""Live rows: the advisory checks on them, and who can read them."""

from __future__ import annotations

import http.client
import json
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import docker
import numpy as np
import pandas as pd
import pytest

from gitops_ml.artifacts.reference import reference
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.probing.samples import read_samples
from gitops_ml.core.generation import ALIAS
from tests.e2e.verifying import start, verify
from tests.e2e.workshop import MODEL, Workshop, scratch_workshop

ADVICE: dict[str, Any] = {
    "env": {"GITOPS_ML_SAMPLES_PER_SECOND": "1000"},
    "verify": {"drift": {}, "agreement": {}},
}


def ask(workshop: Workshop, count: int, middle: float) -> None:
    """Send `count` requests as users, with inputs around `middle`."""
    chance = random.Random(3)
    where = urlsplit(workshop.url())
    connection = http.client.HTTPConnection(where.netloc, timeout=30)
    for _ in range(count):
        tensor = {"name": "x", "datatype": "FP64", "shape": [1], "data": [chance.gauss(middle, 1.5)]}
        connection.request("POST", f"{where.path}/infer", json.dumps({"inputs": [tensor]}))
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
    connection.close()


def trained(workshop: Workshop) -> None:
    """What the train stage stores about the inputs: values around 0."""
    x = np.random.default_rng(1).normal(0, 1.5, 5000)
    told = json.dumps(reference(pd.DataFrame({"x": x}), []))
    workshop.write(f"models/{MODEL}/reference.json", told)


def test_drift_and_agreement_are_reported_and_decide_nothing(workshop: Workshop) -> None:
    trained(workshop)
    start(workshop, "v1.0.0", **ADVICE)
    ask(workshop, 300, 0.0)
    found = {c["name"]: c for c in verify(workshop)["checks"]}
    assert (found["drift"]["result"], found["drift"]["advisory"]) == ("pass", True)
    assert found["drift"]["figures"]["rows"] == 300
    # The inputs change, and a version with different answers is declared.
    ask(workshop, 512, 3.0)
    workshop.release("v1.1.0", noise=2)
    workshop.declare("v1.1.0", **ADVICE)
    ran = workshop.sync()
    assert "drift advises dev/churn: 1 of 1 features have moved: x " in ran.err
    attempt = workshop.record()["attempts"][0]
    assert (attempt["verdict"], attempt["outcome"]) == ("Verified", "promoted")
    checks = {c["name"]: c for c in attempt["checks"]}
    assert checks["drift"]["result"] == "fail"
    figures = checks["agreement"]["figures"]
    assert figures["rows"] == 512
    assert 0 < figures["share_low"] < figures["share"] < figures["share_high"] < 0.5
    assert workshop.serving() == "v1.1.0"
    # Too few live rows, and a model without a reference, are inconclusive and stop nothing.
    ask(workshop, 9, 0.0)  # `serving` was the tenth request
    (workshop.folder / f"models/{MODEL}/reference.json").unlink()
    start(workshop, "v1.2.0", **ADVICE)
    checks = {c["name"]: c for c in workshop.record()["attempts"][0]["checks"]}
    assert checks["agreement"]["reason"] == "10 live rows, and 50 are needed"
    assert checks["drift"]["reason"] == "the model stores no reference of its training data"
    assert workshop.status()["verification"] == "Verified"


@pytest.mark.parametrize(
    "path",
    ["/churn/gitops-ml/samples", "/churn/churn/gitops-ml/samples", "/churn//gitops-ml/samples", "/gitops-ml/samples"],
)
@pytest.mark.parametrize("connection", ["keep-alive", "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Prefix"])
def test_live_rows_cannot_be_read_through_the_gateway(sampled: Workshop, path: str, connection: str) -> None:
    where = urlsplit(sampled.url())
    asking = http.client.HTTPConnection(where.netloc, timeout=30)
    asking.request("GET", path, headers={"Connection": connection})
    answer = asking.getresponse()
    assert answer.status == 404, answer.read()
    assert b"inputs" not in answer.read()


def test_live_rows_are_users_requests_without_probes(sampled: Workshop, engine: docker.DockerClient) -> None:
    label = {"label": [f"gitops-ml.project={sampled.project}"]}
    found = {c["Labels"]["gitops-ml.role"]: c for c in engine.api.containers(filters=label)}
    verify(sampled)
    with Engine.connect(None) as ours:
        alias = found["replica"]["Labels"][ALIAS]
        samples = read_samples(ours, found["gateway"]["Id"], [(alias, 8080)])
    assert (samples.rows, samples.seen) == (25, 25)
    assert [t.name for t in samples.inputs] == ["x"]


@pytest.fixture(scope="module")
def sampled(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A workshop whose model has answered 25 requests."""
    with scratch_workshop(engine, tmp_path_factory.mktemp("sampled"), "sampled") as workshop:
        start(workshop, "v1.0.0", **ADVICE)
        ask(workshop, 25, 0.0)
        yield workshop
