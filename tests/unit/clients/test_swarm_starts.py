"""A replica's start on a Swarm takes two calls: whatever a killed pass leaves between them is finished by the next."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any, cast

import pytest

from gitops_ml.clients.engine.address import Address
from gitops_ml.clients.engine.swarm.manager import SwarmManager
from gitops_ml.clients.engine.swarm.services import service_spec
from gitops_ml.core.generation import DEPLOYMENT, ENVIRONMENT, PROJECT, replica_spec
from tests.unit.builders import DRAIN, generation
from tests.unit.builders import ENVIRONMENT as DEV
from tests.unit.builders import PROJECT as SHOP
from tests.unit.clients.test_swarm_services import IMAGE, REFERENCE

NODES = ("node1", "node2")


class Killed(BaseException):
    """The process ends."""


class SwarmApi:
    """The calls about services of a Swarm of two nodes, in memory: a task goes to the first node that is allowed.

    The process is killed before the update of a service that has the number `dies_at`.
    """

    def __init__(self) -> None:
        self.made: dict[str, dict[str, Any]] = {}
        self.tasks_of: dict[str, list[dict[str, Any]]] = {}
        self.updates, self.dies_at = 0, -1

    def add(self, replica: int, environment: str = DEV) -> str:
        asked = replica_spec(
            generation(), project=SHOP, environment=environment, replica=replica, suffix="abcdef", drain=DRAIN
        )
        identity = f"{environment}{replica}".ljust(25, "x")
        self.made[identity] = {
            "ID": identity,
            "Version": {"Index": 1},
            "CreatedAt": "2026-11-27T16:00:00Z",
            "Spec": service_spec(asked, REFERENCE, IMAGE),
        }
        return identity

    def constraints(self, service: str) -> list[str]:
        return list(self.made[service]["Spec"]["TaskTemplate"]["Placement"].get("Constraints", ()))

    def node(self, service: str) -> str:
        (task,) = self.tasks_of[service]
        return str(task["NodeID"])

    def services(self, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        wanted = [label.partition("=") for label in filters["label"]]
        return [
            copy.deepcopy(service)
            for service in self.made.values()
            if all(
                name in service["Spec"]["Labels"] and value in ("", service["Spec"]["Labels"][name])
                for name, _, value in wanted
            )
        ]

    def tasks(self, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
        return [task for service in filters["service"] for task in self.tasks_of.get(service, [])]

    def nodes(self) -> list[dict[str, Any]]:
        return [{"ID": n, "Status": {"State": "ready"}, "Spec": {"Availability": "active"}} for n in NODES]

    def inspect_service(self, service: str) -> dict[str, Any]:
        return copy.deepcopy(self.made[service])

    def _url(self, path: str, service: str) -> str:
        return service

    def _post_json(self, service: str, data: dict[str, Any], params: dict[str, int]) -> object:
        self.updates += 1
        if self.updates == self.dies_at:
            raise Killed
        self.made[service]["Spec"] = data
        allowed = [node for node in NODES if f"node.id!={node}" not in self.constraints(service)]
        if data["Mode"]["Replicated"]["Replicas"] and not self.tasks_of.get(service):
            status = {"State": "running", "Timestamp": "2026-11-27T16:00:01Z"}
            task = {"ID": f"task of {service}", "ServiceID": service, "NodeID": allowed[0], "Status": status}
            self.tasks_of[service] = [task | {"CreatedAt": "2026-11-27T16:00:01Z"}]
        assert all(task["NodeID"] in allowed for task in self.tasks_of.get(service, [])), "the task is moved"
        return object()

    def _raise_for_status(self, response: object) -> None:
        """No update is refused."""


@pytest.fixture
def api() -> SwarmApi:
    """A replica runs on the first node, and another one is to be started."""
    made = SwarmApi()
    manager(made).start(made.add(0))
    made.add(1)
    made.updates = 0
    return made


def manager(api: SwarmApi) -> SwarmManager:
    return SwarmManager(api, cast(Address, SimpleNamespace(url="unix:///manager.sock")))


ONE = f"{DEV}1".ljust(25, "x")
OWN = {PROJECT: SHOP, ENVIRONMENT: DEV}


def test_a_replica_starts_on_another_node_and_may_be_moved_later(api: SwarmApi) -> None:
    manager(api).start(ONE)
    assert (api.node(ONE), api.constraints(ONE), api.updates) == ("node2", [], 2)


def test_what_a_killed_start_has_left_is_finished_and_moves_nothing(api: SwarmApi) -> None:
    api.dies_at = 2
    with pytest.raises(Killed):
        manager(api).start(ONE)
    assert (api.node(ONE), api.constraints(ONE)) == ("node2", ["node.id!=node1"])
    manager(api).finish_starts(OWN)
    assert (api.node(ONE), api.constraints(ONE)) == ("node2", [])
    api.updates = 0
    manager(api).finish_starts(OWN)
    assert api.updates == 0, "nothing is left to do"


def test_what_others_start_is_left_to_them(api: SwarmApi) -> None:
    theirs = api.add(0, "prod")
    api.made[theirs]["Spec"]["TaskTemplate"]["Placement"]["Constraints"] = ["node.id!=node1"]
    api.made[theirs]["Spec"]["Mode"] = {"Replicated": {"Replicas": 1}}
    manager(api).finish_starts(OWN)
    assert api.constraints(theirs) == ["node.id!=node1"]
    manager(api).finish_starts({PROJECT: SHOP, ENVIRONMENT: "prod", DEPLOYMENT: "churn"})
    assert api.constraints(theirs) == []


def test_a_replica_reserves_its_memory_and_no_cpus() -> None:
    made = service_spec(
        replica_spec(generation(), project=SHOP, environment=DEV, replica=0, suffix="abcdef", drain=DRAIN),
        REFERENCE,
        IMAGE,
    )["TaskTemplate"]["Resources"]
    assert made["Reservations"] == {"MemoryBytes": made["Limits"]["MemoryBytes"]}
