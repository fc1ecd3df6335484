"""Whose requests are answered: names of strangers and users that no proxy names are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from gitops_ml.control.agent.web.access import Access, Guard
from gitops_ml.control.agent.web.answers import TEXT, Answer
from gitops_ml.control.agent.web.hooks import PATH, Hooks
from gitops_ml.control.agent.web.server import HttpServer
from tests.unit.agent_http.test_web import Client

Ask = Callable[..., int]


@pytest.fixture
def ask() -> Iterator[Callable[[Access], Ask]]:
    """What asks a server with this access for the status of its answer."""
    servers = []

    def with_access(access: Access) -> Ask:
        def fine(_: object) -> Answer:
            return Answer(b"fine", TEXT)

        guard = partial(Guard, access=access, machines={"/metrics"}, unguarded={PATH})
        hooks = Hooks(b"sixteen bytes at least", lambda: None)
        server = HttpServer("127.0.0.1", 0, {"/metrics": fine, "/{path:path}": fine}, [hooks.route], guard)
        server.start()
        servers.append(server)
        return lambda path, **headers: Client(server).ask(path, headers.pop("method", "GET"), **headers)[0]

    yield with_access
    for server in servers:
        server.close()


def test_a_name_of_a_stranger_that_leads_here_is_refused(ask: Callable[[Access], Ask]) -> None:
    asked = ask(Access(frozenset({"agent.example.com"})))
    for path in ("/", "/events", "/metrics", "/healthz"):
        assert asked(path, Host="rebound.attacker.example") == 403
        assert asked(path, Host="rebound.attacker.example:9464") == 403
    assert asked("/", Host="agent.example.com.attacker.example") == 403
    assert asked("/", Host="127.0.0.1.attacker.example") == 403


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:9464",
        "10.1.2.3",
        "[::1]:9464",
        "localhost:80",
        "localhost.",
        "agent",
        "agent.example.com",
        "AGENT.example.com:443",
    ],
)
def test_addresses_plain_names_and_the_operators_names_are_answered(ask: Callable[[Access], Ask], host: str) -> None:
    assert ask(Access(frozenset({"agent.example.com"})))("/", Host=host) == 200


def test_a_hook_is_judged_by_its_signature_alone(ask: Callable[[Access], Ask]) -> None:
    asked = ask(Access(user_header="X-Forwarded-User"))
    token = {"X-Gitlab-Token": "sixteen bytes at least"}
    assert asked(PATH, method="POST", Host="any.name.example", **token) == 202
    assert asked(PATH, method="POST", Host="any.name.example") == 401


def test_behind_a_proxy_the_page_needs_a_user_and_metrics_need_none(ask: Callable[[Access], Ask]) -> None:
    asked = ask(Access(user_header="X-Forwarded-User"))
    assert asked("/") == asked("/events") == asked("/prod/churn/") == 401
    assert asked("/", **{"X-Forwarded-User": " "}) == 401
    assert asked("/", **{"X-Forwarded-User": "ada"}) == 200
    assert asked("/metrics") == 200
