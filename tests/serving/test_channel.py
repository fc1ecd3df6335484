"""The channel of a published model, as a real model server offers it."""

from __future__ import annotations

import hashlib
import http.client
import json
import time
from pathlib import Path

import pytest

from tests.serving.conftest import ServerProcess, Start

MODEL = "model.skops"


@pytest.fixture(scope="module")
def channel(start: Start, artifact: Path) -> ServerProcess:
    """A ready server that publishes the skops model. Its last test ends it."""
    return start(artifact, GITOPS_ML_CHANNEL="1", GITOPS_ML_POLL_SECONDS="2").wait_ready()


def test_a_channel_describes_its_generation_and_gives_its_files(channel: ServerProcess, artifact: Path) -> None:
    status, descriptor = channel.ask("GET", "/delays/channel")
    assert status == 200
    files = {file["path"]: file for file in descriptor.pop("files")}
    assert descriptor == {
        "schema": 1,
        "deployment": "delays",
        "model": "flight-delay",
        "version": "v1.2.0",
        "digest": "md5:6c1f",
        "generation": "g7",
        "poll_seconds": 2,
    }
    content = (artifact / MODEL).read_bytes()
    assert files[MODEL] == {"path": MODEL, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    connection = http.client.HTTPConnection("127.0.0.1", channel.port, timeout=10)
    connection.request("GET", f"/channel/g7/files/{MODEL}", headers={"Range": "bytes=10-19"})
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (206, content[10:20])
    assert answer.headers["ETag"] == f'"{files[MODEL]["sha256"]}"'
    connection.request("GET", "/channel", headers={"If-None-Match": '"g7"'})
    assert connection.getresponse().status == 304


@pytest.mark.parametrize("path", ["g6/files/model.skops", "g7/files/../../etc/passwd", "g7/files/absent"])
def test_a_channel_gives_no_other_file(channel: ServerProcess, path: str) -> None:
    assert channel.ask("GET", f"/channel/{path}")[0] == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"subscriber": "../x"}', b'{"subscriber": "a", "scored": -1}', b"x" * 9000]
)
def test_a_malformed_acknowledgement_is_refused(channel: ServerProcess, body: bytes) -> None:
    assert channel.ask("POST", "/channel/acknowledgements", body)[0] in (400, 413)


def test_what_subscribers_say_is_kept_and_not_shown_through_the_gateway(channel: ServerProcess) -> None:
    for version in ("v1", "v2"):
        said = {"subscriber": "scorer-1", "generation": "g7", "version": version}
        assert channel.ask("POST", "/channel/acknowledgements", said)[0] == 204
    shown = channel.ask("GET", "/gitops-ml/subscribers")[1]
    assert [(s["subscriber"], s["version"]) for s in shown["subscribers"]] == [("scorer-1", "v2")], "the last counts"
    assert channel.ask("GET", "/gitops-ml/subscribers", headers={"X-Forwarded-Host": "models"})[0] == 404


def test_an_event_stream_lasts_until_the_next_poll_and_holds_up_no_end(channel: ServerProcess) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", channel.port, timeout=20)
    connection.request("GET", "/channel/events")
    began = time.monotonic()
    text = connection.getresponse().read().decode()
    assert text.startswith("event: published\n") and json.loads(text.split("data: ")[1])["generation"] == "g7"
    assert time.monotonic() - began > 1.5
    connection.request("GET", "/channel/events")
    connection.getresponse()
    assert channel.ask("GET", "/gitops-ml/in-flight")[1] == {"in_flight": 0}
    assert channel.stop(20) == 0
