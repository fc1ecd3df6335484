"""The route file: deterministic, with its own revision, and safe to read as YAML and as a template."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitops_ml.core.planning.route import (
    is_users_router,
    loaded_revision,
    revision_name,
    revision_of,
    route_file,
    service_generation,
)

ONE, TWO = "1" * 12, "2" * 12
BACKENDS = [("m-1-0", 8080, ONE), ("m-1-1", 8080, ONE), ("m-2-0", 9000, TWO)]


def _http(content: bytes) -> dict[str, Any]:
    http: dict[str, Any] = json.loads(content)["http"]
    return http


def test_the_route_of_one_generation() -> None:
    http = _http(route_file("m", BACKENDS, weights={ONE: 100}))
    revision = next(iter(http["middlewares"]))
    assert http["routers"] == {
        "m.protocol": {
            "entryPoints": ["web"],
            "rule": "Path(`/v2/models/m`) || PathPrefix(`/v2/models/m/`)",
            "service": "m",
        },
        "m.stripped": {
            "entryPoints": ["web"],
            "middlewares": [revision],
            "priority": len("Path(`/m`) || PathPrefix(`/m/`)"),
            "rule": "(Path(`/m`) || PathPrefix(`/m/`)) && !(Path(`/m/metrics`) || PathPrefix(`/m/metrics/`))",
            "service": "m",
        },
    }
    assert http["middlewares"] == {revision: {"stripPrefix": {"prefixes": ["/m"]}}}
    assert http["services"] == {
        "m": {"weighted": {"healthCheck": {}, "services": [{"name": f"m.{ONE}", "weight": 100}]}},
        f"m.{ONE}": {
            "loadBalancer": {
                "healthCheck": {
                    "followRedirects": False,
                    "interval": "2s",
                    "path": "/v2/health/ready",
                    "timeout": "3s",
                },
                "passHostHeader": True,
                "servers": [{"url": "http://m-1-0:8080"}, {"url": "http://m-1-1:8080"}],
            }
        },
    }


def test_a_generation_without_traffic_has_no_service() -> None:
    services = _http(route_file("m", BACKENDS, weights={ONE: 100, TWO: 0}))["services"]
    assert services.keys() == {"m", f"m.{ONE}"}


def test_a_mirror_copies_what_the_split_answers() -> None:
    services = _http(route_file("m", BACKENDS, weights={ONE: 100}, mirror={TWO: 20}))["services"]
    assert services["m"] == {
        "mirroring": {"service": "m.split", "mirrors": [{"name": f"m.{TWO}", "percent": 20}], "healthCheck": {}}
    }
    assert services["m.split"]["weighted"]["services"] == [{"name": f"m.{ONE}", "weight": 100}]


def test_each_generation_has_its_own_health_path() -> None:
    services = _http(route_file("m", BACKENDS, weights={ONE: 1, TWO: 1}, health={ONE: "/a", TWO: "/b"}))["services"]
    assert [services[f"m.{g}"]["loadBalancer"]["healthCheck"]["path"] for g in (ONE, TWO)] == ["/a", "/b"]


def test_a_pinned_generation_needs_no_traffic() -> None:
    routers = _http(route_file("m", BACKENDS, weights={ONE: 100}, pin_header=True))["routers"]
    assert routers[f"m.protocol-{TWO}"]["service"] == f"m.{TWO}"
    assert routers[f"m.protocol-{TWO}"]["rule"].endswith(f"&& Header(`X-Gitops-Ml-Generation`, `{TWO}`)")
    assert routers[f"m.stripped-{TWO}"]["priority"] > routers["m.stripped"]["priority"]


def test_the_order_of_backends_does_not_matter() -> None:
    assert route_file("m", BACKENDS, weights={ONE: 1}) == route_file("m", BACKENDS[::-1], weights={ONE: 1})


def test_another_content_is_another_revision() -> None:
    revisions = {
        revision_of(content)
        for content in (
            route_file("m", BACKENDS, weights={ONE: 1}),
            route_file("m", BACKENDS, weights={ONE: 2}),
            route_file("m", BACKENDS[:1], weights={ONE: 1}),
            route_file("m", BACKENDS, weights={ONE: 1}, pin_header=True),
        )
    }
    assert len(revisions) == 4 and None not in revisions


@pytest.mark.parametrize("content", [b"", b"{}", b'{"http":{"middlewares":{"x":1}}}', b"\xff\xfe"])
def test_a_foreign_file_has_no_revision(content: bytes) -> None:
    assert revision_of(content) is None


def test_names_in_the_gateway_are_parsed_back() -> None:
    assert loaded_revision(revision_name("a-b", "0" * 12) + "@file") == ("a-b", "0" * 12)
    assert loaded_revision("dashboard_redirect@internal") is None
    assert service_generation(f"a-b.{ONE}@file") == ("a-b", ONE)
    assert service_generation("a-b@file") is None
    assert service_generation("a-b.split@file") is None


@given(st.text(min_size=1, max_size=30))
def test_any_health_path_survives_template_and_yaml(path: str) -> None:
    content = route_file("m", BACKENDS, weights={ONE: 1}, health="/{{" + path)
    assert b"{{" not in content
    read = yaml.safe_load(content)["http"]["services"][f"m.{ONE}"]["loadBalancer"]["healthCheck"]["path"]
    if all(ord(character) < 0x10000 for character in path):  # YAML has no surrogate pairs
        assert read == "/{{" + path


@pytest.mark.parametrize(
    ("router", "dealt"),
    [
        ("churn.protocol@file", True),
        ("churn-eu.stripped@file", True),
        ("churn.protocol-111111111111@file", False),
        ("churn.stripped-111111111111@file", False),
        ("api@internal", False),
        ("", False),
    ],
)
def test_only_requests_routed_by_weight_are_users(router: str, dealt: bool) -> None:
    assert is_users_router(router) is dealt


def test_a_share_of_the_subscribers_reaches_the_candidate_and_nobody_else_does() -> None:
    http = _http(route_file("m", BACKENDS, weights={ONE: 100}, subscribers={TWO: 25}))
    assert [share["name"] for share in http["services"]["m"]["weighted"]["services"]] == [f"m.{ONE}"]
    shares = {name: router for name, router in http["routers"].items() if "share" in name}
    assert {router["service"] for router in shares.values()} == {f"m.{TWO}"} and len(shares) == 2
    for router in shares.values():
        pattern = re.search(r"HeaderRegexp\(`X-Gitops-Ml-Slot`, `(.*?)`\)", router["rule"])
        assert pattern and [n for n in range(100) if re.search(pattern[1], str(n))] == list(range(25))
        assert not re.search(pattern[1], "") and not re.search(pattern[1], "24x")
