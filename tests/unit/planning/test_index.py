"""The route of the gateway's bare port: it lists what serves, and is restored like the routes of deployments."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from gitops_ml.core.planning.index import HEADER, INDEX, index_file
from gitops_ml.core.planning.planner import make_plan
from gitops_ml.core.planning.route import is_users_router, revision_of
from tests.unit.builders import generation, replica, wanted
from tests.unit.journals import promoted
from tests.unit.snapshots import V1, hosting, inputs, planned, route, serving, snapshot


def http(content: bytes) -> dict[str, Any]:
    return dict(json.loads(content)["http"])


def test_the_route_lists_the_deployments_and_asks_any_of_them() -> None:
    content = http(index_file(["b", "a"]))
    (headers,) = (middleware["headers"] for middleware in content["middlewares"].values())
    assert headers["customRequestHeaders"] == {HEADER: "a,b"}
    assert [s["name"] for s in content["services"][INDEX]["weighted"]["services"]] == ["a", "b"]
    assert not any(is_users_router(f"{name}@file") for name in content["routers"]), "no request of a canary's test"


def test_a_missing_a_changed_and_an_unloaded_index_are_written_anew() -> None:
    seen, expected = serving(V1), index_file(["churn"])
    line = "index dev/gateway - because it does not list what serves"
    for index in (b"", b"}", index_file(["chum"])):
        assert planned(msgspec.structs.replace(seen, index=index), wanted(), index=b"") == line
    unloaded = msgspec.structs.replace(seen, index=expected)
    assert planned(unloaded, wanted(), index=b"") == "index dev/gateway - because the gateway has not loaded it"
    loaded = seen.loaded | {INDEX: revision_of(expected) or ""}
    assert planned(msgspec.structs.replace(unloaded, loaded=loaded), wanted(), index=b"") == ""


def test_a_deployment_leaves_the_index_before_its_route_goes() -> None:
    plan = make_plan(inputs(hosting("a", "b"), wanted(name="a")))
    assert [action.verb for action in plan.actions][:2] == ["index", "unroute"]


def test_other_images_and_damaged_routes_are_not_listed() -> None:
    image = generation("v1", "other", pattern="image")
    seen = snapshot(replica(image), routes={"other": route(image, replica(image))}, journal=promoted(image))
    assert "index" not in planned(seen, wanted(name="other"), index=b"")
    damaged = msgspec.structs.replace(serving(V1), routes={"churn": b"}"})
    assert "index" not in planned(damaged, wanted(), index=b"")


def test_a_rollout_leaves_the_index_as_it_is() -> None:
    assert index_file(["churn"]) == index_file(("churn",))
    assert "v1" not in index_file(["churn"]).decode()


def test_more_deployments_than_a_header_may_name_have_no_index() -> None:
    assert index_file([f"deployment-{number}" for number in range(10_000)]) == b""
