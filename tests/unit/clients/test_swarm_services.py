"""A replica as a Swarm's service, and back: it must differ in nothing from what was asked for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.clients.engine.config import ImageFacts, facts_of, listed_container
from gitops_ml.clients.engine.swarm.services import inspected, listed, scaled, service_spec
from gitops_ml.core.generation import ContainerSpec, replica_spec
from gitops_ml.core.observed import Container
from gitops_ml.core.planning.drift import container_drift
from tests.unit.builders import DRAIN, ENVIRONMENT, PROJECT, generation

IMAGE = {"Id": "sha256:" + "1" * 64, "Architecture": "amd64", "Os": "linux"}
REFERENCE = f"registry.example:5000/shop/churn@sha256:{'a' * 64}"
NETWORKS = {"n1": "shop.dev", "n2": "other"}


def spec(deployment: str = "churn") -> ContainerSpec:
    own = generation(name=deployment, secrets={"KEY": "/etc/gitops-ml/secrets/key"}, env={"LOG_LEVEL": "info"})
    return replica_spec(own, project=PROJECT, environment=ENVIRONMENT, replica=0, suffix="abcdef", drain=DRAIN)


def service(of: ContainerSpec | None = None) -> dict[str, Any]:
    """The service of a replica, as the Swarm lists it: networks by their ID."""
    made = service_spec(of or spec(), REFERENCE, IMAGE)
    made["TaskTemplate"]["Networks"][0]["Target"] = "n1"
    return {"ID": "s" * 25, "CreatedAt": "2026-11-27T16:00:00.123456789Z", "Spec": made}


def task(state: str, at: int, code: int = 0, node: str = "node1") -> dict[str, Any]:
    status = {"State": state, "Timestamp": f"2026-11-27T16:00:{at:02d}Z", "ContainerStatus": {"ExitCode": code}}
    return {"NodeID": node, "CreatedAt": f"2026-11-27T16:00:{at:02d}Z", "Status": status}


def container(of: dict[str, Any], *tasks: dict[str, Any]) -> Container:
    inspection = inspected(of, tasks, NETWORKS)
    return listed_container(listed(inspection), facts_of(inspection, ImageFacts()))


@pytest.mark.parametrize("deployment", ["churn", "a" * 40])
def test_a_service_is_the_container_that_was_asked_for(deployment: str) -> None:
    asked = spec(deployment)
    replica = container(service(asked), task("running", 1))
    assert container_drift(asked, replica, IMAGE["Id"]) == ()
    assert (replica.name, replica.state, replica.alias) == (asked.name, "running", asked.aliases[0])


def test_a_long_name_keeps_what_tells_replicas_apart() -> None:
    name = service_spec(spec("a" * 40), REFERENCE, IMAGE)["Name"]
    assert len(name) <= 63 and name.endswith("_11111111_0-abcdef")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda task: task["ContainerSpec"].update(Image="somebody/else:latest"), "image"),
        (lambda task: task["ContainerSpec"].update(ReadOnly=False), "read_only"),
        (lambda task: task["ContainerSpec"].update(CapabilityAdd=["CAP_NET_ADMIN"]), "capabilities"),
        (lambda task: task["ContainerSpec"]["Env"].append("MORE=1"), "env"),
        (lambda task: task["ContainerSpec"]["Mounts"].pop(0), "mounts"),
        (lambda task: task["Resources"]["Limits"].update(MemoryBytes=1), "memory"),
        (lambda task: task["Networks"].append({"Target": "n2"}), "networks"),
        (lambda task: task["Networks"][0].update(Aliases=["other"]), "aliases"),
        (lambda task: task["RestartPolicy"].update(Condition="none"), "restart"),
    ],
)
def test_what_somebody_changes_in_a_service_is_drift(change: Any, what: str) -> None:
    changed = service()
    change(changed["Spec"]["TaskTemplate"])
    assert [drift.what for drift in container_drift(spec(), container(changed, task("running", 1)), IMAGE["Id"])] == [
        what
    ]


@pytest.mark.parametrize(
    ("tasks", "state", "restarts", "code"),
    [
        ([], "created", 0, 0),
        ([task("pending", 1, node="")], "created", 0, 0),
        ([task("running", 1), task("preparing", 2)], "created", 0, 0),  # the first one's node is down
        ([task("running", 1), task("running", 2)], "running", 0, 0),
        ([task("shutdown", 1), task("running", 2)], "running", 0, 0),
        ([task("failed", 1, code=3), task("ready", 2)], "restarting", 1, 3),
        ([task("failed", 1), task("running", 2), task("failed", 3, code=137)], "restarting", 2, 137),
        ([task("failed", 1, code=3), task("running", 2)], "running", 1, 3),
        ([task("rejected", 1), task("ready", 2)], "restarting", 0, 0),
        ([task("rejected", 1), task("running", 2)], "running", 0, 0),
    ],
)
def test_tasks_tell_the_state_of_a_replica(tasks: list[dict[str, Any]], state: str, restarts: int, code: int) -> None:
    inspection = inspected(service(), tasks, NETWORKS)
    assert (inspection["State"]["Status"], inspection["RestartCount"]) == (state, restarts)
    assert inspection["State"]["ExitCode"] == code


def test_scaling_changes_nothing_else() -> None:
    before = service()["Spec"]
    one = scaled(before, 1, ["node1"])
    assert one["Mode"] == {"Replicated": {"Replicas": 1}}
    assert one["TaskTemplate"]["Placement"]["Constraints"] == ["node.id!=node1"]
    again = scaled(one, 0)
    again["TaskTemplate"]["Placement"].pop("Constraints")
    assert again == before


def test_a_service_carries_no_privileges() -> None:
    made = service_spec(msgspec.structs.replace(spec(), command=("serve",)), REFERENCE, IMAGE)["TaskTemplate"]
    own = made["ContainerSpec"]
    assert (own["ReadOnly"], own["CapabilityDrop"], own["User"]) == (True, ["ALL"], "65532:65532")
    assert own["Privileges"] == {"NoNewPrivileges": True} and own["Image"] == REFERENCE
