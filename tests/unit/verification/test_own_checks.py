"""A team's own checks: how their answers are judged, and that they end at their timeout."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, cast

import msgspec
import pytest

from gitops_ml.clients.own_checks.command import CommandPlace
from gitops_ml.clients.own_checks.run import Reach, run_own_checks
from gitops_ml.core.addresses import parse_rules, why_refused
from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, OwnCheck, PrometheusCheck
from gitops_ml.core.verification.own_checks import CheckSubject, judge_command, judge_prometheus
from gitops_ml.core.verification.verdict import CheckResult

SUBJECT = CheckSubject(
    environment="dev", deployment="churn", version="v1.2.0", generation="0123456789ab", endpoint="http://h:1/v2"
)


def run(check: OwnCheck, subject: CheckSubject = SUBJECT, rules: str | None = None) -> CheckResult:
    hosts = None if rules is None else parse_rules("GITOPS_ML_CHECK_HOSTS", rules)
    return run_own_checks([check], subject, Reach(hosts, cast(CommandPlace, None)))[0]


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
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
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
    ("prometheus_answer", "result"),
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
def test_every_value_must_be_within_the_bounds(prometheus_answer: Any, result: str) -> None:
    check = PrometheusCheck(name="errors", url="http://p:9090", query="x", min=0.0, max=0.05)
    assert judge_prometheus(check, prometheus_answer).result == result


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
    with socket.socket() as bound:  # keeps the port from other programs, and does not listen
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
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


# --- where it is asked


@contextmanager
def redirecting(to: str) -> Iterator[str]:
    """A page that redirects every request; its URL."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            here = self.path == "/"
            self.send_response(302 if here else 200)
            self.send_header("Location", to)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as listening:
        listening.daemon_threads = True
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}/"
        listening.shutdown()


METADATA = "http://169.254.169.254/latest/meta-data"


@pytest.mark.parametrize("kind", ["http", "prometheus"])
@pytest.mark.parametrize(
    "url",
    [
        METADATA,
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://0xa9fea9fe/",  # the same address, as a number that the resolver takes
        "http://2852039166/",
        "http://[fd00:ec2::254]/",
        "http://100.100.100.200/",
    ],
)
def test_an_address_that_only_a_machine_itself_should_ask_is_not_asked(url: str, kind: str) -> None:
    check: OwnCheck = HttpCheck(name="app", url=url)
    if kind == "prometheus":
        check = PrometheusCheck(name="app", url=url, query="up", min=1)
    began = time.monotonic()
    check_result = run(check)
    assert (check_result.result, "it may not be asked" in check_result.reason) == ("inconclusive", True), check_result
    assert time.monotonic() - began < 3


def test_a_name_that_resolves_to_such_an_address_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that the connection goes to is judged: a second answer of the resolver is not waited for."""
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.pop())
    assert "169.254.169.254 is a link-local address" in run(HttpCheck(name="app", url="http://app.example/")).reason
    assert answers == []


@pytest.mark.parametrize(
    ("to", "reason"),
    [
        (METADATA, "it redirects to 169.254.169.254"),
        ("http://localhost:1/", "it redirects to localhost"),
        ("file:///etc/passwd", "it redirects to file:///etc/passwd"),
    ],
)
def test_a_redirect_to_another_host_is_not_followed(to: str, reason: str) -> None:
    with redirecting(to) as url:
        check_result = run(HttpCheck(name="app", url=url))
        assert (check_result.result, check_result.reason.partition(",")[0]) == ("inconclusive", reason)
        assert run(HttpCheck(name="app", url=url, status=302)).result == "pass"


def test_a_redirect_within_one_host_is_followed() -> None:
    with redirecting("/elsewhere") as url:
        assert run(HttpCheck(name="app", url=url)).result == "pass"


@pytest.mark.parametrize(
    ("rules", "result"),
    [
        ("", "inconclusive"),
        ("prometheus.example,10.0.0.0/8", "inconclusive"),
        ("127.0.0.1", "pass"),
        ("127.0.0.0/8", "pass"),
        ("127.0.0.1:1", "inconclusive"),
    ],
)
def test_an_allow_list_of_the_operator_decides_who_is_asked(rules: str, result: str) -> None:
    with server(200, b"") as (url, asked):
        check_result = run(HttpCheck(name="app", url=url), rules=rules)
        # The model itself may be asked whatever the list says.
        own = msgspec.structs.replace(SUBJECT, endpoint=url)
        assert run(HttpCheck(name="app", url="${endpoint}/x"), own, rules=rules).result == "pass"
    assert (check_result.result, len(asked)) == (result, 2 if result == "pass" else 1)


def test_an_address_that_the_operator_lists_is_asked_whatever_its_kind() -> None:
    assert not why_refused("h", 80, ip_address("169.254.1.1"), parse_rules("V", "169.254.1.1"))
    assert why_refused("h", 80, ip_address("169.254.1.1"), parse_rules("V", "h"))
    assert not why_refused("a.example.com", 80, ip_address("10.0.0.1"), parse_rules("V", "*.example.com:80"))
    assert why_refused("example.com", 80, ip_address("10.0.0.1"), parse_rules("V", "*.example.com"))


# --- what is run


@pytest.mark.parametrize(("code", "result"), [(0, "pass"), (1, "fail"), (2, "inconclusive"), (137, "inconclusive")])
def test_a_command_is_judged_by_its_exit_code(code: int, result: str) -> None:
    check = judge_command(CommandCheck(name="orders", run=("x",)), code, "more\norders fell\n")
    assert (check.result, check.reason) == (result, f"exit code {code}: orders fell")
