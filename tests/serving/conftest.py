"""Real model servers, each a process of `python -m gitops_ml.serving.server`, as in a container."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sklearn.pipeline import Pipeline

from tests.ports import free_port
from tests.serving.artifacts import train, write_artifact

ROOT = Path(__file__).parents[2]
IDENTITY = {
    "GITOPS_ML_DEPLOYMENT": "delays",
    "GITOPS_ML_MODEL": "flight-delay",
    "GITOPS_ML_VERSION": "v1.2.0",
    "GITOPS_ML_DIGEST": "md5:6c1f",
    "GITOPS_ML_GENERATION": "g7",
}


class ServerProcess:
    """A model server on a loopback port."""

    def __init__(self, model_dir: Path, log: Path, **env: str) -> None:
        self.port = free_port()
        self._log = log
        settings = {
            **IDENTITY,
            "GITOPS_ML_MODEL_DIR": str(model_dir),
            "GITOPS_ML_PORT": str(self.port),
            "GITOPS_ML_HOST": "127.0.0.1",
            "PYTHONPATH": str(ROOT),
        }
        with log.open("wb") as sink:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gitops_ml.serving.server"],
                env={**os.environ, **settings, **env},
                stderr=sink,
                cwd=model_dir,
            )

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.port}"

    def log_lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def wait_ready(self, seconds: float = 60) -> ServerProcess:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log_lines()
            try:
                if self.ask("GET", "/v2/health/ready")[0] == 200:
                    return self
            except OSError:
                time.sleep(0.02)
        raise AssertionError(f"not ready in {seconds} s: {self.log_lines()}")

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
        """Send a request over a new connection; status and decoded JSON (or text) of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, content, headers or {})
            response = connection.getresponse()
            text = response.read().decode()
            return response.status, json.loads(text) if text.startswith(("{", "[")) else text
        finally:
            connection.close()

    def stop(self, seconds: float = 30) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)


Start = Callable[..., ServerProcess]


@pytest.fixture(scope="session")
def pipeline() -> Pipeline:
    return train()


@pytest.fixture(scope="session")
def artifact(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("artifact") / "model", pipeline)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts model servers, and ends those that still run after the module's tests."""
    started: list[ServerProcess] = []

    def begin(model_dir: Path, **env: str) -> ServerProcess:
        server = ServerProcess(model_dir, tmp_path_factory.mktemp("log") / "server.log", **env)
        started.append(server)
        return server

    yield begin
    for server in started:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@pytest.fixture(scope="module")
def server(start: Start, artifact: Path) -> ServerProcess:
    """A ready server of the skops model."""
    return start(artifact, GITOPS_ML_MAX_BODY_BYTES="4000000").wait_ready()
