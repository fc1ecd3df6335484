"""The probe against servers that answer nonsense, too much, or for ever: each ends as the target's error, in time."""

from __future__ import annotations

import contextlib
import json
import resource
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from gitops_ml.serving.probe import run
from gitops_ml.serving.probe_answers import MAX_ANSWER_BYTES, TargetError, error_text, outputs_of

EXPECT = {"version": "v1", "digest": "md5:1"}
METADATA = b'{"name": "m", "versions": ["v1"], "parameters": {"digest": "md5:1"}}'
REQUEST = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [2], "data": [1.0, 2.0]}]}
DEADLINE = 0.8

Chunks = Iterator[bytes]


def whole(body: bytes, status: str = "200 OK") -> Callable[[], Chunks]:
    """An answer with this body and its true length."""
    return lambda: iter([b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status.encode(), len(body)), body])


def endless(first: bytes, again: bytes, pause: float = 0.0) -> Callable[[], Chunks]:
    """An answer that goes on until the client hangs up."""

    def chunks() -> Chunks:
        yield first
        while True:
            yield again
            time.sleep(pause)

    return chunks


HEAD = b"HTTP/1.1 200 OK\r\n"
UNENDED = {
    "silent": endless(b"", b"", 0.1),
    "an endless body": endless(HEAD + b"\r\n", b"[" * 65536),
    "endless chunks": endless(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b" " * 4096 + b"\r\n"),
    "300 MB": endless(HEAD + b"Content-Length: 314572800\r\n\r\n", b" " * 65536),
    "a body that trickles": endless(HEAD + b"Content-Length: 1000\r\n\r\n", b" ", 0.1),
    "a header that trickles": endless(HEAD + b"X: ", b"a", 0.1),
    "endless headers": endless(HEAD, b"X: a\r\n"),
    "for ever about to continue": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "no HTTP": endless(b"\x00\x01\x02\r\n", b"\xff" * 4096),
}


class Server(socketserver.ThreadingTCPServer):
    """Answers every GET and every POST with the same bytes each time."""

    daemon_threads = True

    def __init__(self, get: Callable[[], Chunks], post: Callable[[], Chunks]) -> None:
        self.answers = {b"GET": get, b"POST": post}
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(socketserver.StreamRequestHandler):
    server: Server

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while line := self.rfile.readline():
                length = 0
                while (header := self.rfile.readline()) not in (b"\r\n", b""):
                    if header.lower().startswith(b"content-length:"):
                        length = int(header.split(b":")[1])
                self.rfile.read(length)
                for chunk in self.server.answers[line.split()[0]]():
                    self.wfile.write(chunk)


def probed(get: Callable[[], Chunks], post: Callable[[], Chunks], deadline: float = DEADLINE) -> dict[str, Any]:
    """What the probe says of such a server, as the reconciler reads it."""
    with Server(get, post) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        target = {"name": "hostile", "url": url, "model": "m", "expect": EXPECT}
        started = time.monotonic()
        result = run({"deadline": deadline, "targets": [target], "example": REQUEST}, [REQUEST] * 20)
        assert time.monotonic() - started < deadline + 2
        server.shutdown()
    return dict(msgspec.json.decode(json.dumps(result).encode())["targets"]["hostile"])


@pytest.mark.parametrize("answer", UNENDED.values(), ids=UNENDED)
def test_metadata_that_does_not_end_is_cut_off(answer: Callable[[], Chunks]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    target = probed(answer, whole(b""))
    assert (target["ready"], target["metadata"]) == (False, None)
    assert target["error"]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


@pytest.mark.parametrize("answer", UNENDED.values(), ids=UNENDED)
def test_an_answer_that_does_not_end_is_cut_off(answer: Callable[[], Chunks]) -> None:
    target = probed(whole(METADATA), answer)
    assert (target["ready"], target["smoke"]["ok"]) == (True, False)
    assert target["error"].startswith("smoke: ")
    assert "Traceback" not in target["error"]


WRONG_METADATA = {
    b"": "Expecting value",
    b"\xff": "utf-8",
    b"[]": "no attribute 'get'",
    b"[" * 100_000 + b"]" * 100_000: "recursion",
    b"[" * 100 + b"]" * 100: "nested more than 32 levels",
    b'{"versions": {}}': "answers with version None, not v1",
    b'{"versions": {"a": 1}}': "`versions` a list",
    b'{"versions": "v1"}': "`versions` a list",
    b'{"versions": ["v1"], "parameters": []}': "answers with digest None",
    b'{"versions": ["v1"], "parameters": ["digest"]}': "`parameters` is an object",
    b'{"versions": null, "parameters": null}': "answers with version None",
    b'{"versions": [NaN]}': "NaN is no JSON",
    b'{"versions": [1e999]}': "1e999 is out of range",
    b'{"versions": ["v1"], "parameters": {"digest": "\\ud800"}}': "surrogates not allowed",
    b'{"versions": ["%b"]}' % (b"v" * 600_000): "answers with version vvv",
    b" " * (1 << 21): "longer than 1,048,576 bytes",
}


@pytest.mark.parametrize(("body", "error"), WRONG_METADATA.items(), ids=range(len(WRONG_METADATA)))
def test_wrong_metadata_is_the_targets_error(body: bytes, error: str) -> None:
    target = probed(whole(body), whole(b""))
    assert (target["ready"], target["metadata"]) == (False, None)
    assert error in target["error"]
    assert len(target["error"]) < 1000


def test_a_redirect_is_not_followed() -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n"
    target = probed(lambda: iter([away]), whole(b""))
    assert target["error"] == "not ready within the deadline: metadata: HTTP 302: "


def output(data: bytes, shape: bytes = b"[2]", datatype: bytes = b"FP64", name: bytes = b'"p"') -> bytes:
    return b'{"outputs": [{"name": %b, "datatype": "%b", "shape": %b, "data": %b}]}' % (name, datatype, shape, data)


WRONG_ANSWERS = {
    b"": "Expecting value",
    b"null": "not subscriptable",
    b"{}": "KeyError: 'outputs'",
    b'{"outputs": 1}': "not iterable",
    b'{"outputs": {}}': "no 2 rows in any output",
    b'{"outputs": [1]}': "not subscriptable",
    b'{"outputs": [{"name": "p", "shape": [2], "data": [1, 2]}]}': "KeyError: 'datatype'",
    output(b"[1, 2]", b"[3]"): "no 2 rows in ['p']",
    output(b"[1, 2]", b"[]"): "IndexError",
    output(b"[1, 2]", b'["2"]'): "a list of whole numbers",
    output(b"[1, 2]", b"[2, -1]"): "a list of whole numbers",
    output(b"[1, 2]", b"[2, 99999999999999999999]"): "2 values of p for shape",
    output(b"[1, 2, 3]"): "3 values of p for shape [2]",
    output(b"[[1, 2], [3]]", b"[2, 2]"): "`data` of p is ragged",
    output(b"[[1, 2], 3]", b"[2, 2]"): "`data` of p is ragged",
    output(b"[[1], [2]]"): "[1] in p is no FP64",
    output(b'"12"'): "`data` of p is no list",
    output(b'["1", "2"]'): "'1' in p is no FP64",
    output(b"[1.5, 2]", datatype=b"INT64"): "1.5 in p is no INT64",
    output(b"[true, 2]"): "True in p is no FP64",
    output(b"[1, 2]", datatype=b"BYTES"): "1 in p is no BYTES",
    output(b"[1, 2]", datatype=b"TEXT"): "KeyError: 'TEXT'",
    output(b"[1, 2]", name=b"{}"): "name is a text",
    output(b"[NaN, 2]"): "NaN is no JSON",
    output(b"[-Infinity, 2]"): "-Infinity is no JSON",
    output(b"[1e999, 2]"): "1e999 is out of range",
    output(b"[1%b, 2]" % (b"0" * 100)): "more than 64 bits",
    output(b"[1%b, 2]" % (b"0" * 5000)): "digits",
    output(b'["\\ud800", "b"]', datatype=b"BYTES"): "surrogates not allowed",
    output(b"[%b]" % (b"[" * 50_000 + b"]" * 50_000)): "recursion",
    b"[" + b"[]," * 1_000_001 + b"1]": "more than 1,000,000 lists and objects",
    b" " * (MAX_ANSWER_BYTES + 1): "longer than 33,554,432 bytes",
}


@pytest.mark.parametrize(("answer", "error"), WRONG_ANSWERS.items(), ids=range(len(WRONG_ANSWERS)))
def test_a_wrong_answer_is_the_targets_error(answer: bytes, error: str) -> None:
    with pytest.raises(TargetError) as raised:
        outputs_of(answer, 2)
    assert error in str(raised.value)
    assert len(str(raised.value)) < 1000


@pytest.mark.parametrize("answer", [output(b'["a", "b"]'), output(b"[[[["), output(b"[NaN, 1]")])
def test_a_wrong_answer_fails_smoke(answer: bytes) -> None:
    target = probed(whole(METADATA), whole(answer))
    assert (target["ready"], target["smoke"]["ok"]) == (True, False)
    assert "the answer does not follow the protocol" in target["error"]


def test_nested_answers_are_flattened() -> None:
    nested = output(b"[[[1, 2]], [[3, null]]]", b"[2, 1, 2]")
    assert outputs_of(nested, 2) == {"p": [1, 2, 3, None]}
    assert outputs_of(output(b'["\\ud83d\\ude00", null]', datatype=b"BYTES"), 2) == {"p": ["😀", None]}


def test_the_values_that_are_kept_of_one_target_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitops_ml.serving.probe.MAX_VALUES", 9)
    target = probed(whole(METADATA), whole(output(b"[1, 2]")), deadline=20.0)
    assert target["error"] == "request 5 of 20: the answers hold more than 9 values"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": "missing input"}', "missing input"),
        (b'{"error": ["\\u001b[31m"]}', "['\\x1b[31m']"),
        (b'{"error": "\\ud800"}', '{"error": "\\ud800"}'),
        (b"<html>\xff", "<html>\ufffd"),
        (b"[" * 100_000, "[" * 500),
        (b'{"error": "%b"}' % (b"x" * 5000), "x" * 500),
    ],
)
def test_the_error_of_a_server_is_cut(body: bytes, text: str) -> None:
    assert error_text(body) == text
