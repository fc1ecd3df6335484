"""A stopping server answers the requests that it has taken; a slow or failing model blocks neither health nor users."""

from __future__ import annotations

import http.client
import json
import signal
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.serving.artifacts import hang, write_artifact
from tests.serving.conftest import ServerProcess, Start

INFER = "/v2/models/delays/infer"
SECONDS = [{"name": "seconds", "datatype": "FP64", "shape": [-1]}]
SLEEPERS = {
    "asynchronous": """
        import asyncio

        class Sleeper:
            def __init__(self, folder):
                pass

            async def predict(self, frame):
                await asyncio.sleep(frame["seconds"].max())
                return frame["seconds"].to_numpy()
    """,
    "threaded": """
        import time

        class Sleeper:
            def __init__(self, folder):
                pass

            def predict(self, frame):
                time.sleep(frame["seconds"].max())
                return {"slept": frame["seconds"].to_numpy()}
    """,
}


def sleep(seconds: float) -> dict[str, Any]:
    return {"inputs": [{**SECONDS[0], "shape": [1], "data": [seconds]}]}


def sleeper(folder: Path, kind: str) -> Path:
    write_artifact(
        folder,
        format="predictor",
        file=None,
        predictor="sleeping:Sleeper",
        inputs=SECONDS,
        outputs=[{"name": "slept", "datatype": "FP64", "shape": [-1]}],
    )
    (folder / "example.json").write_text(json.dumps(sleep(0)))
    (folder / "sleeping.py").write_text(textwrap.dedent(SLEEPERS[kind]))
    return folder


@pytest.mark.parametrize("kind", SLEEPERS)
def test_requests_in_flight_are_answered_after_sigterm(start: Start, tmp_path: Path, kind: str) -> None:
    server = start(sleeper(tmp_path / "model", kind)).wait_ready()
    with ThreadPoolExecutor(3) as clients:
        pending = [clients.submit(server.ask, "POST", INFER, sleep(0.7)) for _ in range(3)]
        wait_in_flight(server, 3)
        assert server.stop() == 0
        assert [request.result()[0] for request in pending] == [200, 200, 200]
    assert "stopping with 3 in flight" in "\n".join(server.log_lines())
    with pytest.raises(ConnectionRefusedError):
        server.ask("GET", "/v2/health/live")


def test_a_failed_request_leaves_other_users_connections_open(start: Start, tmp_path: Path) -> None:
    server = start(sleeper(tmp_path / "model", "threaded")).wait_ready()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.connect()
    connection.auto_open = 0  # the client raises if the connection was closed
    for _ in range(5):
        for seconds, status in ((-1, 500), (0, 200)):
            connection.request("POST", INFER, json.dumps(sleep(seconds)))
            response = connection.getresponse()
            assert response.status == status, response.read()
            response.read()
            time.sleep(0.05)  # a server that closes the connection has closed it by then
    connection.close()
    assert "sleep length must be non-negative" in "\n".join(server.log_lines())


def test_kept_alive_connections_close_without_a_cut_request(start: Start, tmp_path: Path) -> None:
    server = start(sleeper(tmp_path / "model", "asynchronous")).wait_ready()
    all_busy = threading.Barrier(5, timeout=60)

    def client() -> tuple[int, str | None]:
        """Send requests over one connection until an answer closes it; a cut request raises."""
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
        content, answered = json.dumps(sleep(0.005)).encode(), 0
        while True:
            connection.request("POST", INFER, content)
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            answered += 1
            if answered == 6:
                all_busy.wait()
            if response.will_close:
                return answered, response.getheader("connection")

    with ThreadPoolExecutor(4) as clients:
        pending = [clients.submit(client) for _ in range(4)]
        all_busy.wait()
        assert server.stop() == 0
        results = [request.result() for request in pending]
    assert [header for _, header in results] == ["close"] * 4
    assert all(answered > 5 for answered, _ in results)


def test_health_and_in_flight_answer_while_the_model_sleeps(start: Start, tmp_path: Path) -> None:
    server = start(sleeper(tmp_path / "model", "threaded")).wait_ready()
    with ThreadPoolExecutor(2) as clients:
        pending = [clients.submit(server.ask, "POST", INFER, sleep(2.0)) for _ in range(2)]
        wait_in_flight(server, 2)
        started = time.monotonic()
        for path in ("/v2/health/live", "/v2/health/ready", "/metrics", "/v2/models/delays"):
            assert server.ask("GET", path)[0] == 200
        assert time.monotonic() - started < 1.5
        assert [request.result()[0] for request in pending] == [200, 200]
    assert server.ask("GET", "/gitops-ml/in-flight") == (200, {"in_flight": 0})


def test_readiness_is_refused_while_it_drains(start: Start, tmp_path: Path) -> None:
    server = start(sleeper(tmp_path / "model", "asynchronous")).wait_ready()
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.connect()
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.05)
    connection.request("GET", "/v2/health/ready")
    assert connection.getresponse().status == 503
    connection.close()
    assert server.process.wait(10) == 0


def test_after_an_error_of_the_model_the_server_goes_on(start: Start, tmp_path: Path) -> None:
    server = start(sleeper(tmp_path / "model", "threaded")).wait_ready()
    status, answer = server.ask("POST", INFER, sleep(-1))
    assert (status, list(answer)) == (500, ["error"])
    assert "the model failed: ValueError: sleep length must be non-negative" in answer["error"]
    assert server.ask("POST", INFER, sleep(0))[0] == 200


def wait_in_flight(server: ServerProcess, count: int) -> None:
    deadline = time.monotonic() + 30
    while server.ask("GET", "/gitops-ml/in-flight") != (200, {"in_flight": count}):
        assert time.monotonic() < deadline
        time.sleep(0.01)


HANGING = """
    import time

    class Sleeper:
        def __init__(self, folder):
            pass

        def predict(self, frame):
            while frame["seconds"].max() > 0:
                time.sleep(0.01)
            return {"slept": frame["seconds"].to_numpy()}
"""


def test_a_prediction_that_hangs_is_answered_and_ends_the_process(start: Start, tmp_path: Path) -> None:
    """The engine starts the process again; the log says where the model hung."""
    folder = sleeper(tmp_path / "model", "threaded")
    (folder / "sleeping.py").write_text(textwrap.dedent(HANGING))
    server = start(folder, GITOPS_ML_PREDICT_SECONDS="1").wait_ready()
    with ThreadPoolExecutor(2) as clients:
        hanging = clients.submit(server.ask, "POST", INFER, sleep(1.0))
        wait_in_flight(server, 1)
        waiting = clients.submit(server.ask, "POST", INFER, sleep(0.0))
    assert [hanging.result(), waiting.result()] == [(503, {"error": "a prediction took longer than 1 s"})] * 2
    assert server.process.wait(10) == 70
    log = "\n".join(server.log_lines())
    assert "a prediction takes longer than 1 s; the process ends" in log and "sleeping.py" in log


def test_a_prediction_that_hangs_in_the_event_loop_ends_the_process(start: Start, tmp_path: Path) -> None:
    model = make_pipeline(FunctionTransformer(hang))
    folder = write_artifact(
        tmp_path / "model",
        model,
        inputs=SECONDS,
        outputs=[{"name": "transform", "datatype": "FP64", "shape": [-1]}],
        trusted_types=["tests.serving.artifacts.hang"],
    )
    (folder / "example.json").write_text(json.dumps(sleep(0)))
    server = start(folder, GITOPS_ML_PREDICT_SECONDS="1").wait_ready()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        server.ask("POST", INFER, sleep(1.0))
    assert server.process.wait(10) == 70


def test_an_asynchronous_prediction_that_hangs_is_cancelled(start: Start, tmp_path: Path) -> None:
    server = start(sleeper(tmp_path / "model", "asynchronous"), GITOPS_ML_PREDICT_SECONDS="1").wait_ready()
    assert server.ask("POST", INFER, sleep(60))[0] == 503
    assert server.ask("POST", INFER, sleep(0))[0] == 200
    assert server.process.poll() is None
