"""The probe asks an application in its own form, and passes on what it answered, within bounds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from gitops_ml.serving.probe import run
from gitops_ml.serving.probe_answers import MAX_JSON_BYTES

Answer = Callable[[str, str, bytes], tuple[int, bytes]]


@pytest.fixture
def application() -> Iterator[Callable[[Answer], str]]:
    """Starts an application that answers to (method, path, body); its URL."""
    servers = []

    def start(answer: Answer) -> str:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self.reply()

            def do_POST(self) -> None:
                self.reply()

            def do_PUT(self) -> None:
                self.reply()

            def reply(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content = answer(self.command, self.path, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments: Any) -> None: ...

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def asked(url: str, *, example: list[str], bodies: list[str], method: str = "POST") -> dict[str, Any]:
    exchange = {"method": method, "path": "/score?n=1", "example": example, "bodies": bodies}
    target = {"name": "app", "url": url, "health": "/healthz", "exchange": exchange}
    job = {"deadline": 10.0, "targets": [target], "example": {"inputs": [{"shape": [1]}]}}
    return dict(run(job, [])["targets"]["app"])


def test_the_answers_come_back_as_they_were_sent(application: Callable[[Answer], str]) -> None:
    seen: list[tuple[str, str, bytes]] = []

    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        seen.append((method, path, body))
        return 200 if method == "GET" else 201, b'{"got": ' + (body or b"0") + b"}"

    result = asked(application(answer), example=["[1]"], bodies=["[2]", "[3, 4]"], method="PUT")
    assert (result["ready"], result["error"]) == (True, None)
    assert result["smoke"]["ok"]
    assert result["example_answers"] == ['{"got": [1]}']
    assert result["answers"] == ['{"got": [2]}', '{"got": [3, 4]}']
    assert seen[0][:2] == ("GET", "/healthz") and seen[1] == ("PUT", "/score?n=1", b"[1]")


@pytest.mark.parametrize(
    ("status", "content", "why"),
    [
        (500, b'{"error": "no model"}', "HTTP 500: no model"),
        (302, b"", "HTTP 302"),
        (200, b"<html>", "the answer is no JSON"),
        (200, b'{"p": NaN}', "the answer is no JSON"),
        (200, b"[" * 100, "the answer is no JSON"),
        (200, json.dumps("x" * MAX_JSON_BYTES).encode(), "the answer is longer than"),
    ],
)
def test_an_answer_that_is_none_fails_the_example_and_ends_there(
    application: Callable[[Answer], str], status: int, content: bytes, why: str
) -> None:
    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return (200, b"") if method == "GET" else (status, content)

    result = asked(application(answer), example=["1"], bodies=["2"])
    assert result["ready"] and not result["smoke"]["ok"]
    assert why in result["smoke"]["error"] and result["error"].startswith("smoke: ")
    assert result["answers"] == []


def test_the_request_that_failed_is_named(application: Callable[[Answer], str]) -> None:
    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        return (400, b'{"error": "no such row"}') if body == b"3" else (200, b"{}")

    result = asked(application(answer), example=["1"], bodies=["2", "3", "4"])
    assert result["smoke"]["ok"]
    assert result["error"] == "request 2 of 3: HTTP 400: no such row"
    assert result["answers"] == ["{}"]


DIGEST = f"md5:{'a' * 32}"


@pytest.mark.parametrize(
    "content",
    [b"v1.1.0\n", b'"v1.1.0"', DIGEST.encode(), b'{"version": "v1.1.0"}', f'{{"digest": "{DIGEST}"}}'.encode()],
)
def test_an_application_that_names_what_it_has_loaded_is_ready(
    application: Callable[[Answer], str], content: bytes
) -> None:
    assert versioned(application, content)["ready"]


@pytest.mark.parametrize(
    "content",
    [
        b"v1.0.0",
        b'{"version": "v1.0.0"}',
        f'{{"version": "v1.0.0", "digest": "{DIGEST}"}}'.encode(),
        b"<html>hello</html>",
    ],
)
def test_an_application_that_ignores_the_model_path_is_not_ready_and_is_not_waited_for(
    application: Callable[[Answer], str], content: bytes
) -> None:
    result = versioned(application, content)
    assert not result["ready"]
    assert result["error"].startswith("/version names ") and f"not v1.1.0 or {DIGEST}" in result["error"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"version": null}', b"[]", b"7"])
def test_an_application_that_names_no_version_is_waited_for(
    application: Callable[[Answer], str], content: bytes
) -> None:
    later = iter([content])
    assert versioned(application, lambda: next(later, b"v1.1.0"))["ready"]
    result = versioned(application, content, deadline=0.2)
    assert result["error"] == f"not ready within the deadline: /version names neither v1.1.0 nor {DIGEST}"


def versioned(
    application: Callable[[Answer], str], content: bytes | Callable[[], bytes], deadline: float = 10.0
) -> dict[str, Any]:
    def answer(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if path == "/healthz":
            return 200, b""
        return 200, content() if callable(content) else content

    expect = {"version": "v1.1.0", "digest": DIGEST}
    target = {"name": "app", "url": application(answer), "health": "/healthz", "version_path": "/version"}
    return dict(run({"deadline": deadline, "targets": [target | {"expect": expect}]}, [])["targets"]["app"])
