"""The agent's HTTP side over real sockets: what it answers, and that no client delays another one."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser
from prometheus_client.parser import text_string_to_metric_families

from gitops_ml.control.agent.replica_metrics import Replica
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.agent.turns import Trouble
from gitops_ml.control.agent.web.answers import Answer, Question
from gitops_ml.control.agent.web.hooks import Hooks
from gitops_ml.control.agent.web.metrics import Metrics
from gitops_ml.control.agent.web.model_metrics import merged
from gitops_ml.control.agent.web.routes import gets
from gitops_ml.control.agent.web.server import HttpServer, parse_address
from gitops_ml.control.backoff import ENVIRONMENT, RECORD, healing_of
from gitops_ml.errors import EngineFailed, EngineUnavailable, InputError
from gitops_ml.serving.metrics import Metrics as ServedMetrics
from tests.unit.agent_http.live_agent import board_of_dev, failed_rollout
from tests.unit.builders import NAME

ROOT = Path(__file__).parents[3]


class Client:
    """Asks one server."""

    def __init__(self, server: HttpServer) -> None:
        self.address = server.address

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body, {name.lower(): value for name, value in response.getheaders()}

    def json(self, path: str) -> tuple[int, Any]:
        status, body, _ = self.ask(path)
        return status, json.loads(body)


def board_of_one_deployment() -> StatusBoard:
    """An agent that has read Git and rolled out v2 of a deployment, which failed."""
    board = board_of_dev()
    board.turned(time.monotonic() + 30)
    board.began("dev")
    failed_rollout(board)
    board.ended("dev", {}, succeeded=True)
    board.reviewed("dev")
    return board


def breaks(_: Question) -> Answer:
    raise ZeroDivisionError("by nought")


@pytest.fixture(scope="module")
def board() -> StatusBoard:
    return board_of_one_deployment()


@pytest.fixture(scope="module")
def client(board: StatusBoard) -> Iterator[Client]:
    server = HttpServer("127.0.0.1", 0, {**gets(board, 600.0), "/breaks": breaks})
    server.start()
    yield Client(server)
    server.close()


def test_health_and_readiness_are_told_as_json(client: Client) -> None:
    assert client.json("/healthz") == (200, {"alive": True, "late": 0.0})
    status, ready = client.json("/readyz")
    assert (status, ready["ready"], ready["environments"]["dev"]["ready"]) == (200, True, True)


def test_what_is_not_ready_is_named_with_its_reason() -> None:
    board = board_of_dev()
    lost = Trouble(EngineUnavailable("the engine does not answer"), 1, 0.0)
    board.ended("dev", {ENVIRONMENT: lost}, succeeded=False)
    server = HttpServer("127.0.0.1", 0, gets(board, 600.0))
    server.start()
    try:
        status, ready = Client(server).json("/readyz")
        assert status == 503
        assert ready["environments"]["dev"] == {"ready": False, "seconds": None, "reason": "the engine does not answer"}
    finally:
        server.close()


def test_a_loop_that_no_longer_turns_is_not_alive() -> None:
    board = StatusBoard(time.monotonic)
    board.turned(time.monotonic() - 60)
    answer = gets(board, 600.0)["/healthz"](Question())
    assert answer.status == 503 and json.loads(answer.body)["late"] >= 60


def test_the_states_of_a_deployment_are_metrics(client: Client) -> None:
    _, body, headers = client.ask("/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(body.decode())
        for sample in family.samples
    }
    of = (("deployment", NAME), ("environment", "dev"))
    assert samples["gitops_ml_deployment_verification", *of, ("state", "Failed")] == 1
    assert samples["gitops_ml_deployment_verification", *of, ("state", "Verified")] == 0
    assert samples["gitops_ml_deployment_replicas_ready", *of] == 1
    assert samples["gitops_ml_rollouts_total", *of, ("outcome", "failed"), ("verdict", "Failed")] == 1
    assert samples["gitops_ml_agent_git_reachable",] == 1


def test_each_family_is_in_the_table_of_the_docs(board: StatusBoard) -> None:
    page = (ROOT / "docs" / "agent.md").read_text()
    told = set(re.findall(r"^\| `(gitops_ml_\w+)` \| ((?:`\w+`(?:, )?)*)", page, re.MULTILINE))
    suffix = {"counter": "_total", "info": "_info"}
    families = [
        *Metrics(board, 600.0, Hooks(b"", lambda: None).families).families(),
        *merged({"dev": {Replica("dev", "churn", "v1", "1" * 12, "0"): ""}}),
    ]
    exported = {
        (
            family.name + suffix.get(family.type, ""),
            ", ".join(f"`{label}`" for label in _labels(family) if label not in ("le",)),
        )
        for family in families
    }
    assert exported == told


def test_the_grafana_board_asks_for_nothing_that_is_not_exported() -> None:
    asked = set(re.findall(r"\bgitops_ml_\w+", (ROOT / "docs" / "grafana.json").read_text()))
    documented = set(re.findall(r"^\| `(gitops_ml_\w+)`", (ROOT / "docs" / "agent.md").read_text(), re.MULTILINE))
    served = ServedMetrics({"deployment": "churn"})
    served.answered(200, 1, 0.01)
    of_models = set(re.findall(r"^gitops_ml_\w+", served.text(0).decode(), re.MULTILINE))
    assert len(asked) > 15
    assert {name for name in asked if name.removesuffix("_bucket") not in documented} - of_models == set()


def _labels(family: Any) -> list[str]:
    return list(family.samples[0].labels) if family.samples else []


def test_prometheus_own_tools_accept_the_metrics(client: Client) -> None:
    _, body, headers = client.ask("/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith(openmetrics.exposition.CONTENT_TYPE_LATEST.split(";")[0])
    assert list(openmetrics_parser.text_string_to_metric_families(body.decode()))  # type: ignore[no-untyped-call]
    _, text, _ = client.ask("/metrics")
    if not shutil.which("promtool"):
        pytest.skip("there is no Prometheus: apt-get install prometheus")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stderr.decode()) == (0, "")


def test_errors_are_counted_for_what_they_concern(board: StatusBoard) -> None:
    failed = Trouble(EngineFailed("no"), 1, 0.0)
    ailing = board_of_one_deployment()
    ailing.ended("dev", {NAME: failed, healing_of(NAME): failed, RECORD: failed}, succeeded=True)
    errors = next(f for f in Metrics(ailing, 600.0).families() if f.name == "gitops_ml_agent_errors")
    assert {sample.labels["deployment"]: sample.value for sample in errors.samples} == {"": 1, NAME: 2}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/", "GET", 404),
        ("/../../etc/passwd", "GET", 404),
        ("/%2e%2e/%2e%2e/etc/passwd", "GET", 404),
        ("/metrics", "POST", 405),
        ("/metrics", "DELETE", 405),
        ("/healthz", "HEAD", 200),
        ("/breaks", "GET", 500),
    ],
)
def test_other_requests_are_refused(client: Client, path: str, method: str, status: int) -> None:
    answered, body, headers = client.ask(path, method)
    assert answered == status
    assert headers["cache-control"] == "no-store" and headers["x-content-type-options"] == "nosniff"
    if status >= 400:
        assert "error" in json.loads(body) and b"Traceback" not in body


def test_what_a_route_raises_is_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    client.ask("/breaks")
    assert [record.getMessage() for record in caplog.records] == ["unforeseen in /breaks"]


def test_clients_that_send_or_take_nothing_delay_no_other(client: Client) -> None:
    idle = [socket.create_connection(_split(client.address)) for _ in range(250)]
    for each in idle[::2]:
        each.sendall(b"GET /metrics HTTP/1.1\r\nHost: ")
    try:
        began = time.monotonic()
        assert client.ask("/healthz")[0] == 200
        assert time.monotonic() - began < 2
    finally:
        for each in idle:
            each.close()


def test_closing_the_server_waits_for_no_client() -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(_: Question) -> Answer:
        entered.set()
        release.wait(60)
        return Answer(b"", "text/plain")

    server = HttpServer("127.0.0.1", 0, {"/slow": slow})
    server.start()
    with socket.create_connection(_split(server.address)) as silent:
        silent.sendall(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        assert entered.wait(10)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < 2
    release.set()


def _split(address: str) -> tuple[str, int]:
    host, port = address.rsplit(":", 1)
    return host, int(port)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        (":9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:9464", ("::1", 9464)),
        ("agent.example.com:80", ("agent.example.com", 80)),
    ],
)
def test_a_port_alone_is_for_this_machine(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "1:٣"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="is no address"):
        parse_address(text)


def test_a_port_that_is_taken_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(InputError) as raised:
        HttpServer("127.0.0.1", other.getsockname()[1], {})
    assert "the agent cannot listen at" in str(raised.value) and "in use" in str(raised.value)


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid", "::gggg"])
def test_an_address_of_another_machine_is_said(host: str) -> None:
    with pytest.raises(InputError, match="the agent cannot listen at"):
        HttpServer(host, 0, {})
