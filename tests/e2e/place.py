"""A scratch environment on the real engine, and small servers behind its gateway."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from gitops_ml.clients.engine.building.model_images import BASE_IMAGE
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.container import gateway_name, gateway_spec
from gitops_ml.clients.gateway.replacement import ensure_gateway
from gitops_ml.clients.gateway.snapshot import take_snapshot
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.core.generation import ALIAS, DEPLOYMENT, ContainerSpec, owner_labels, scoped
from gitops_ml.core.observed import Snapshot
from tests.ports import free_port

SERVER = """
import http.server, os, threading, time

in_flight, lock = 0, threading.Lock()


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def do_GET(self):
        global in_flight
        if self.path == "/gitops-ml/in-flight":
            return self.say('{"in_flight": %d}' % in_flight)
        if "/slow/" not in self.path:
            return self.say(os.environ["NAME"] + " " + self.path)
        with lock:
            in_flight += 1
        time.sleep(float(self.path.rpartition("/")[2]))
        self.say(os.environ["NAME"] + " " + self.path)
        with lock:
            in_flight -= 1

    def say(self, text):
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256


Server(("", 8080), Answer).serve_forever()
"""


@dataclass
class Place:
    """One project and environment on the engine, with a free port for its gateway."""

    engine: Engine
    project: str
    environment: str = "dev"
    port: int = 0
    gateway: str = ""
    servers: dict[str, str] = field(default_factory=dict)

    @property
    def network(self) -> str:
        return scoped(self.project, self.environment)

    @property
    def volume(self) -> str:
        return gateway_name(self.project, self.environment)

    def ensure_network(self) -> None:
        self.engine.ensure_network(self.network, owner_labels(self.project, self.environment, "network"))

    def ensure_gateway(self) -> str:
        spec = gateway_spec(self.project, self.environment, Gateway(port=self.port))
        self.gateway = ensure_gateway(self.engine, spec)
        return self.gateway

    def spec(self, name: str, **changes: Any) -> ContainerSpec:
        """The spec of a container of the base image; it sleeps unless `changes` say otherwise."""
        given: dict[str, Any] = {
            "name": scoped(self.project, self.environment, name),
            "image": BASE_IMAGE,
            "labels": {**owner_labels(self.project, self.environment, "replica"), DEPLOYMENT: name, ALIAS: name},
            "network": self.network,
            "aliases": (name,),
            "command": ("sleep", "600"),
            "memory": 64 * 1024**2,
            "pids": 64,
            "stop_grace": 1,
        }
        return ContainerSpec(**(given | changes))

    def serve(self, name: str) -> str:
        """Start a small server under the alias `name`, which answers with its name. Returns its container."""
        spec = self.spec(name, command=("python", "-c", SERVER), env={"NAME": name}, pids=256)
        self.servers[name] = self.engine.create(spec)
        self.engine.start(self.servers[name])
        probe = "import urllib.request as r; r.urlopen('http://127.0.0.1:8080/gitops-ml/in-flight')"
        until = time.monotonic() + 60
        while self.engine.exec(self.servers[name], ["python", "-c", probe]).code != 0:
            assert time.monotonic() < until, self.engine.logs(self.servers[name])
        return self.servers[name]

    def look(self, **settings: Any) -> Snapshot:
        return take_snapshot(self.engine, self.project, self.environment, base=BASE_IMAGE, **settings)

    def ask(self, path: str, headers: dict[str, str] | None = None) -> str:
        """The body of a GET through the gateway. Raises `HTTPError`."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers or {})
        with urllib.request.urlopen(request, timeout=30) as response:
            return str(response.read().decode())


@pytest.fixture
def place_fixture(scratch_project: Callable[[], str]) -> Iterator[Place]:
    """A scratch environment; removed with everything in it."""
    with Engine.connect(None) as connected:
        yield Place(connected, scratch_project(), port=free_port())
