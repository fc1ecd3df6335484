"""Readiness asked from inside the gateway: a probe's results where all is well, and None where it is not."""

from __future__ import annotations

import time
from typing import Any

import docker
import pytest

from gitops_ml.clients.gateway.probing.readiness import ask_ready
from gitops_ml.errors import Superseded
from tests.e2e.model_server import request_of, start_model
from tests.e2e.place import Place, place_fixture

place = place_fixture


def _ask(place: Place, *names: str, patience: float = 10.0, **given: Any) -> dict[str, Any] | None:
    expect = {"version": "v1", "digest": "md5:good"}
    targets = [{"name": name, "url": f"http://{name}:8080", "model": "m", "expect": expect} for name in names]
    settings: dict[str, Any] = {"example": request_of(1.5), "watch": (), "go_on": lambda: None, "targets": targets}
    return ask_ready(place.engine, place.gateway, patience=patience, **(settings | given))


@pytest.fixture
def asked(place: Place) -> Place:
    place.ensure_gateway()
    return place


def test_servers_that_are_ready_return_their_answers(asked: Place) -> None:
    containers = (start_model(asked, "one", "md5:good", 4.0), start_model(asked, "two", "md5:good"))
    found = _ask(asked, "one", "two", watch=containers)
    assert found is not None
    for target in found.values():
        assert target["ready"]
        assert 1.0 < target["ready_seconds"] < 10
        assert target["error"] is None
        assert target["metadata"]["versions"] == ["v1"]
        assert target["smoke"]["ok"]
        assert target["smoke"]["outputs"] == {"predict": [1.5]}
    assert {c.role for c in asked.look().containers} == {"gateway", "replica"}


def test_a_foreign_image_is_asked_for_its_health_only(asked: Place) -> None:
    start_model(asked, "one", "md5:silent")
    targets = [{"name": "one", "url": "http://one:8080", "health": "/anything"}]
    found = _ask(asked, targets=targets)
    assert found is not None
    assert found["one"]["metadata"] == {}
    assert found["one"]["smoke"] is None


@pytest.mark.parametrize("digest", ["md5:bad", "md5:silent"])
def test_a_wrong_answer_is_left_to_the_probe_at_once(asked: Place, digest: str) -> None:
    container = start_model(asked, "one", digest)
    started = time.monotonic()
    assert _ask(asked, "one", watch=(container,), patience=60.0) is None
    assert time.monotonic() - started < 20


def test_a_redirect_to_another_server_is_not_followed(asked: Place) -> None:
    start_model(asked, "two", "md5:good")
    start_model(asked, "one", "http://two:8080")
    assert _ask(asked, "two") is not None
    assert _ask(asked, "one", patience=1.0) is None


def test_the_wait_for_a_server_that_accepts_and_never_answers_ends_at_once(asked: Place) -> None:
    listen = "import socket, time; s = socket.create_server(('', 8080)); time.sleep(600)"
    container = asked.engine.create(asked.spec("one", command=("python", "-c", listen)))
    asked.engine.start(container)
    stopping, started = time.monotonic() + 2.0, time.monotonic()

    def go_on() -> None:
        if time.monotonic() > stopping:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _ask(asked, "one", watch=(container,), patience=60.0, go_on=go_on)
    assert time.monotonic() - started < 3


def test_an_example_too_long_for_a_command_line_is_left_to_the_probe(asked: Place) -> None:
    start_model(asked, "one", "md5:good")
    assert _ask(asked, "one", example=request_of(*[1.25] * 40_000)) is None


def test_the_wait_ends_when_patience_is_over(asked: Place) -> None:
    container = start_model(asked, "one", "md5:good", delay=60)
    started = time.monotonic()
    assert _ask(asked, "one", watch=(container,), patience=2.5) is None
    assert 2.0 < time.monotonic() - started < 10


@pytest.mark.parametrize("restart", ["no", "unless-stopped"])
def test_the_wait_ends_when_its_target_ends(asked: Place, restart: str) -> None:
    container = start_model(asked, "one", "broken", restart=restart)
    started = time.monotonic()
    found = _ask(asked, "one", watch=(container,), patience=60.0)
    assert time.monotonic() - started < 20
    assert found is not None
    assert not found["one"]["ready"]
    assert "the model cannot be loaded" in found["one"]["error"]


def test_a_newer_commit_ends_the_waiting(asked: Place) -> None:
    start_model(asked, "one", "md5:good", delay=60)
    started = time.monotonic()

    def go_on() -> None:
        if time.monotonic() - started > 1:
            raise Superseded("a newer commit")

    with pytest.raises(Superseded):
        _ask(asked, "one", patience=60.0, go_on=go_on)
    assert time.monotonic() - started < 5


def test_asking_through_an_open_shell_starts_no_process(asked: Place, engine: docker.DockerClient) -> None:
    container = start_model(asked, "one", "md5:good", delay=2.0)
    asked.engine.open_shell(asked.gateway)
    since: Any = time.time()
    assert _ask(asked, "one", watch=(container,)) is not None
    until: Any = time.time()
    done = engine.events(since=since, until=until, filters={"container": asked.gateway}, decode=True)
    assert [event["Action"] for event in done] == []


def test_without_a_running_gateway_the_probe_is_needed(asked: Place) -> None:
    asked.engine.kill(asked.gateway)
    assert _ask(asked, "one", patience=60.0) is None
