"""A team's own checks: how their answers are judged, and that they end at their timeout."""

from __future__ import annotations

import http.server
import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitops_ml.clients.own_checks import run_own_checks
from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, OwnCheck, PrometheusCheck
from gitops_ml.core.verification.own_checks import Subject, judge_prometheus
from gitops_ml.core.verification.verdict import CheckResult

SUBJECT = Subject(
    environment="dev", deployment="churn", version="v1.2.0", generation="0123456789ab", endpoint="http://h:1/v2"
)


def run(check: OwnCheck) -> CheckResult:
    return run_own_checks([check], SUBJECT)[0]


def command(*words: str, timeout: str = "10s") -> CheckResult:
    return run(CommandCheck(name="mine", run=words, timeout=timeout))


def python(source: str, timeout: str = "10s") -> CheckResult:
    return command(sys.executable, "-c", source, timeout=timeout)


@contextmanager
def server(status: int, body: bytes, wait: float = 0.0) -> Iterator[tuple[str, list[str]]]:
    """A page with this answer, and the paths that were requested."""
    asked: list[str] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()
            for byte in body:
                time.sleep(wait)
                self.wfile.write(bytes([byte]))

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as listening:
        listening.daemon_threads = True
        thread = threading.Thread(target=listening.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}", asked
        listening.shutdown()


def silent_port() -> socket.socket:
    """A server that accepts connections and never answers."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


# --- what is judged


def answer(*values: str, kind: str = "vector") -> dict[str, Any]:
    series = [{"metric": {"code": str(n)}, "value": [1.0, value]} for n, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": kind, "result": series}}


@pytest.mark.parametrize(
    ("series", "result"),
    [
        (answer("0.01"), "pass"),
        (answer("0.05"), "pass"),
        (answer("0.051"), "fail"),
        (answer("0.01", "0.2"), "fail"),
        (answer("-0.1"), "fail"),
        (answer("NaN"), "inconclusive"),
        (answer("0.01", "NaN"), "inconclusive"),
        (answer("+Inf"), "fail"),
        (answer(), "inconclusive"),
        ({"status": "success", "data": {"resultType": "scalar", "result": [1.0, "0.02"]}}, "pass"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, "inconclusive"),
        ({"status": "error", "error": "parse error"}, "inconclusive"),
        ({"status": "success"}, "inconclusive"),
        ({"status": "success", "data": {"resultType": "vector", "result": [{}]}}, "inconclusive"),
        ([], "inconclusive"),
    ],
)
def test_every_value_must_be_within_the_bounds(check_result: Any, result: str) -> None:
    check = PrometheusCheck(name="errors", url="http://p:9090", query="x", min=0.0, max=0.05)
    assert judge_prometheus(check, check_result).result == result


def test_the_series_at_fault_is_named() -> None:
    check = PrometheusCheck(name="errors", url="http://p:9090", query="x", max=0.05)
    assert judge_prometheus(check, answer("0.01", "0.2")).reason == "0.2 is above max 0.05 in [('code', '1')]"


def test_placeholders_are_filled_in_and_promql_is_kept() -> None:
    query = 'rate(x{job="a", g="${generation}"}[5m]) ${nothing}'
    assert SUBJECT.filled_in(query) == 'rate(x{job="a", g="0123456789ab"}[5m]) ${nothing}'


# --- what is asked


@pytest.mark.parametrize(
    ("status", "body", "result"),
    [(200, b"all is well", "pass"), (200, b"degraded", "fail"), (503, b"all is well", "fail")],
)
def test_a_page_is_judged_by_status_and_text(status: int, body: bytes, result: str) -> None:
    with server(status, body) as (url, asked):
        check_result = run(HttpCheck(name="app", url=f"{url}/${{deployment}}", contains="well"))
    assert (check_result.name, check_result.result, asked) == ("http app", result, ["/churn"])


def test_another_status_than_200_may_be_expected() -> None:
    with server(404, b"") as (url, _):
        assert run(HttpCheck(name="gone", url=url, status=404)).result == "pass"


@pytest.mark.parametrize("kind", ["http", "prometheus"])
def test_a_server_that_is_down_is_inconclusive(kind: str) -> None:
    with silent_port() as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    check: OwnCheck = HttpCheck(name="app", url=url)
    if kind == "prometheus":
        check = PrometheusCheck(name="app", url=url, query="up", min=1)
    check_result = run(check)
    assert check_result.result == "inconclusive"
    assert "refused" in check_result.reason


@pytest.mark.parametrize("kind", ["http", "prometheus"])
def test_a_server_that_hangs_is_inconclusive_at_the_timeout(kind: str) -> None:
    with silent_port() as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        check: OwnCheck = HttpCheck(name="app", url=url, timeout="300ms")
        if kind == "prometheus":
            check = PrometheusCheck(name="app", url=url, query="up", min=1, timeout="300ms")
        began = time.monotonic()
        check_result = run(check)
    assert check_result.result == "inconclusive"
    assert time.monotonic() - began < 3


def test_a_slowly_trickling_answer_is_inconclusive_at_the_timeout() -> None:
    with server(200, b"x" * 1000, wait=0.1) as (url, _):
        began = time.monotonic()
        check_result = run(HttpCheck(name="app", url=url, timeout="500ms"))
    assert (check_result.result, check_result.reason) == ("inconclusive", "no answer within 0.5 s")
    assert time.monotonic() - began < 3


# --- what is run


@pytest.mark.parametrize(("code", "result"), [(0, "pass"), (1, "fail"), (2, "inconclusive"), (77, "inconclusive")])
def test_a_command_is_judged_by_its_exit_code(code: int, result: str) -> None:
    check = python(f"print('orders fell'); raise SystemExit({code})")
    assert (check.result, check.reason) == (result, f"exit code {code}: orders fell")


def test_a_command_gets_the_subject_in_its_environment() -> None:
    check = python("import os; print(sorted(v for k, v in os.environ.items() if k.startswith('GITOPS_ML_')))")
    assert check.reason == "exit code 0: ['0123456789ab', 'churn', 'dev', 'http://h:1/v2', 'v1.2.0']"


def test_a_missing_command_is_inconclusive() -> None:
    check = command("/no/such/command")
    assert check.result == "inconclusive"
    assert "No such file" in check.reason


def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    began = time.monotonic()
    check = command("sh", "-c", f"trap '' TERM; sleep 60 & echo $! >{pid}; wait; wait", timeout="500ms")
    assert (check.result, check.reason) == ("inconclusive", "it was killed after 500ms")
    assert time.monotonic() - began < 5
    child = int(pid.read_text())
    deadline = time.monotonic() + 5
    while _alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(child)


def test_children_of_a_command_do_not_outlive_it() -> None:
    began = time.monotonic()
    assert command("sh", "-c", "sleep 60 & exit 0").result == "pass"
    assert time.monotonic() - began < 5


def test_of_too_much_output_the_last_line_is_kept() -> None:
    check = python("print('x' * 10_000_000); print('the end')", timeout="30s")
    assert check.reason == "exit code 0: the end"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
