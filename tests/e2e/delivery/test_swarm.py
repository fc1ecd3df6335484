"""A Docker Swarm of three nodes: the same rollouts, with replicas on whatever node. The tests go on from each other."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.clients.engine.swarm.services import scaled
from gitops_ml.core.generation import PROJECT, VERSION
from tests.e2e.swarm import Node, Swarm, swarm
from tests.e2e.workshop import EXAMPLE, HOLDOUT, Workshop

CANARY: dict[str, Any] = {
    "rollout": {"strategy": "canary", "steps": [50]},
    "verify": {"traffic": {"max_bad_increase": 0.2, "timeout": "90s"}},
}
SHADOW: dict[str, Any] = {
    "rollout": {"strategy": "shadow"},
    "verify": {"traffic": {"max_bad_increase": 0.6, "timeout": "3m"}},
}


@pytest.fixture(scope="module")
def nodes(engine: docker.DockerClient) -> Iterator[Swarm]:
    with swarm(nodes=3) as made, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", made.docker_config())
        made.manager.engine.copy_images(engine)
        yield made


@pytest.fixture(scope="module")
def team(nodes: Swarm, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    workshop = Workshop(tmp_path_factory.mktemp("team"), "shop")
    workshop.host = nodes.manager.address
    _declare_environment(workshop, nodes, nodes.manager)
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", replicas=3, verify=HOLDOUT)
    workshop.sync()
    return workshop


def _declare_environment(workshop: Workshop, nodes: Swarm, node: Node) -> None:
    gateway = {"bind": "0.0.0.0", "port": 8080, "drain": "5s"}
    workshop.environment(engine=node.engine.url, gateway=gateway, swarm=True, registry=nodes.registry)
    workshop.ports["dev"] = 8080


def _services(nodes: Swarm) -> list[str]:
    """The version of each service, whether or not it has a task."""
    api: Any = nodes.manager.client.api
    return sorted(s["Spec"]["Labels"][VERSION] for s in api.services(filters={"label": PROJECT}))


def _replicas(nodes: Swarm) -> list[tuple[str, str]]:
    """(version, node) of each task that runs."""
    api: Any = nodes.manager.client.api
    versions = {s["ID"]: s["Spec"]["Labels"][VERSION] for s in api.services(filters={"label": PROJECT})}
    tasks = api.tasks(filters={"desired-state": "running"})
    running = [task for task in tasks if task["Status"]["State"] == "running"]
    return sorted((versions[task["ServiceID"]], task["NodeID"]) for task in running)


def _constraints(nodes: Swarm) -> list[str]:
    """The nodes that services avoid."""
    api: Any = nodes.manager.client.api
    specs = [s["Spec"]["TaskTemplate"] for s in api.services(filters={"label": PROJECT})]
    return [constraint for spec in specs for constraint in spec["Placement"].get("Constraints") or ()]


def _constrain(nodes: Swarm) -> None:
    """Leave what a pass leaves that is killed while it starts a replica: the replica avoids a node."""
    api: Any = nodes.manager.client.api
    (service, *_) = api.services(filters={"label": PROJECT})
    (task,) = api.tasks(filters={"service": service["ID"], "desired-state": "running"})
    avoided = next(node.id for node in nodes.nodes if node.id != task["NodeID"])
    data = scaled(service["Spec"], 1, [avoided])
    response = api._post_json(
        api._url("/services/{0}/update", service["ID"]), data=data, params={"version": service["Version"]["Index"]}
    )
    api._raise_for_status(response)
    assert _constraints(nodes) == [f"node.id!={avoided}"]


def _load(workshop: Workshop) -> SteadyLoad:
    return SteadyLoad(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=60)


def test_a_first_version_is_verified_and_spread_over_the_nodes(team: Workshop, nodes: Swarm) -> None:
    assert team.serving() == "v1.0.0"
    status = team.status()
    assert (status["sync"], status["health"], status["verification"]) == ("Synced", "Healthy", "Verified")
    assert status["replicas"] == {"desired": 3, "ready": 3}
    assert _replicas(nodes) == sorted(("v1.0.0", node.id) for node in nodes.nodes)
    assert team.run("plan", "dev").code == 0


def test_a_rollout_loses_no_request_and_leaves_nothing_of_the_version_before(team: Workshop, nodes: Swarm) -> None:
    team.release("v1.1.0")
    team.declare("v1.1.0", replicas=2, verify=HOLDOUT)
    with _load(team) as load:
        team.sync()
    assert load.report.failed == 0, load.report.errors
    assert team.serving() == "v1.1.0"
    assert [version for version, _ in _replicas(nodes)] == ["v1.1.0"] * 2
    assert _services(nodes) == ["v1.1.0"] * 2
    assert [check["result"] for check in team.record()["attempts"][0]["checks"]] == ["pass"] * 3


def test_a_canary_that_fails_its_users_is_stopped_and_reverted(team: Workshop, nodes: Swarm) -> None:
    team.release("v2.0.0", error_rate=1.0)
    team.declare("v2.0.0", replicas=2, **CANARY)
    with _load(team):
        team.sync(expect=3)
    assert team.serving() == "v1.1.0"
    assert team.declared()["version"] == "v1.1.0"
    assert [version for version, _ in _replicas(nodes)] == ["v1.1.0"] * 2


def test_scaling_starts_replicas_where_there_are_none(team: Workshop, nodes: Swarm) -> None:
    _constrain(nodes)
    team.declare("v1.1.0", replicas=3, verify=HOLDOUT)
    team.sync()
    assert _replicas(nodes) == sorted(("v1.1.0", node.id) for node in nodes.nodes)
    assert _constraints(nodes) == []


def test_a_registry_that_refuses_or_is_down_is_reported_and_the_incumbent_serves(
    team: Workshop, nodes: Swarm, monkeypatch: pytest.MonkeyPatch
) -> None:
    team.release("v1.2.0")
    team.declare("v1.2.0", replicas=3, verify=HOLDOUT)
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_CONFIG", nodes.docker_config(password="wrong"))
        ran = team.sync(expect=1)
    ran.require_clear()
    assert f"docker login {nodes.registry}" in ran.err
    nodes.stop_registry()
    ran = team.sync(expect=1)
    ran.require_clear()
    assert "could not be pushed" in ran.err and nodes.registry in ran.err
    assert team.serving() == "v1.1.0"
    nodes.start_registry()
    team.sync()
    assert team.serving() == "v1.2.0"


def test_an_environment_that_runs_keeps_its_kind(team: Workshop, nodes: Swarm) -> None:
    team.pull()
    path = team.folder / "environments/dev/environment.yaml"
    before = path.read_text()
    team.environment(engine=nodes.manager.engine.url, gateway={"bind": "0.0.0.0", "port": 8080, "drain": "5s"})
    team.commit("Take the Swarm away")
    ran = team.sync(expect=1)
    ran.require_clear()
    assert "is of the kind overlay" in ran.err and team.serving() == "v1.2.0"
    team.pull()
    path.write_text(before)
    team.commit("Take it back")
    assert team.run("plan", "dev").code == 0


def test_a_worker_is_refused_as_a_manager(team: Workshop, nodes: Swarm, tmp_path: Path) -> None:
    other = Workshop(tmp_path, "other", remote=False)
    _declare_environment(other, nodes, nodes.nodes[1])
    other.release("v1.0.0")
    other.declare("v1.0.0")
    ran = other.sync(expect=1)
    ran.require_clear()
    assert "the engine manages no Swarm" in ran.err


def test_replicas_of_a_node_that_dies_are_started_elsewhere(team: Workshop, nodes: Swarm) -> None:
    lost = nodes.nodes[2].id
    with _load(team) as load:
        nodes.power_off(nodes.nodes[2])
        until = time.monotonic() + 60
        while len(_replicas(nodes)) < 3 or lost in {node for _, node in _replicas(nodes)}:
            assert time.monotonic() < until, _replicas(nodes)
            time.sleep(0.5)
    assert load.report.failed < load.report.sent / 10, load.report.errors
    team.sync()
    while team.status()["replicas"] != {"desired": 3, "ready": 3}:  # the new task's server still loads its model
        assert time.monotonic() < until + 60
        time.sleep(0.5)
    assert team.run("plan", "dev").code == 0
    assert team.serving() == "v1.2.0"


def test_a_node_that_returns_gets_replicas_of_the_next_rollout_after_a_shadow(team: Workshop, nodes: Swarm) -> None:
    nodes.power_on(nodes.nodes[2])
    assert team.run("plan", "dev").code == 0, "nothing is moved back"
    team.release("v1.3.0")
    team.declare("v1.3.0", replicas=3, **SHADOW)
    with SteadyLoad(team.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=40) as load:
        team.sync()
    assert load.report.failed == 0, load.report.errors
    assert _replicas(nodes) == sorted(("v1.3.0", node.id) for node in nodes.nodes)
