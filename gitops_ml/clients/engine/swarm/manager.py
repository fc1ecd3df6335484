"""The manager of a Docker Swarm: an engine whose replicas run on any node.

Gateway, lock, probes and builds are containers of the manager itself, which reach the replicas through the Swarm's
network. So only the calls about replicas differ from those of one engine; above this folder nothing does.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import docker.errors
import msgspec

from gitops_ml.clients.engine.client import TIMEOUT, Engine
from gitops_ml.clients.engine.networks import label_filter
from gitops_ml.clients.engine.swarm.services import (
    inspected,
    is_constrained,
    listed,
    newest,
    scaled,
    scoped_name,
    service_spec,
    swarm_name,
)
from gitops_ml.clients.engine.types import EngineInfo
from gitops_ml.core.generation import DEPLOYMENT, ENVIRONMENT, GENERATION, PROJECT, ROLE, ContainerSpec
from gitops_ml.core.text import MAX_TEXT, clean
from gitops_ml.errors import EngineUnavailable

_SERVICE_ID = re.compile(r"[a-z0-9]{25}")
"""The ID of a service; a container's is longer, and its name has dots."""
_SIBLINGS = (PROJECT, ENVIRONMENT, DEPLOYMENT, GENERATION)
"""The labels that the replicas of one generation share."""
_TASK = "com.docker.swarm.task.id"
"""The label of a container that belongs to a service."""
_PLACE_SECONDS = 10.0
"""How long a task may wait for a node."""
_START_SECONDS = 300.0
"""How long a task may take until it runs: a node pulls the image that it lacks."""
_STOP_SECONDS = 10.0
"""How long after its grace a task may take until it has ended."""
_LOG_SECONDS = 10.0
_LOOK_EVERY = 0.1
_TRIES = 5


class SwarmManager(Engine):
    """One Swarm, as one of its managers gives access to it. `connect`, then set `registry`."""

    network_settings: ClassVar[Mapping[str, Any]] = {"driver": "overlay", "attachable": True}
    registry = ""
    """Where nodes pull the images of replicas from: `host[:port][/path]`."""

    # --- looking --------------------------------------------------------------------------------------------

    def info(self) -> EngineInfo:
        """The manager's identity and clock, and the CPUs of the largest node. A service cannot ask for GPUs."""
        with self._translate_errors("listing nodes"):
            cpus = [node["Description"]["Resources"]["NanoCPUs"] // 10**9 for node in self._ready_nodes()]
        return msgspec.structs.replace(super().info(), cpus=max(cpus, default=0), gpus=0)

    def list_containers(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """The manager's own containers with these labels, and the replicas with them on whatever node."""
        containers = [own for own in super().list_containers(labels) if _TASK not in (own["Labels"] or {})]
        with self._translate_errors("listing services"):
            services = self._services(labels)
            tasks = self._tasks([service["ID"] for service in services])
            networks = self._network_names()
        for container in containers:
            own = container["NetworkSettings"]["Networks"]
            container["NetworkSettings"]["Networks"] = {networks.get(name, name): own[name] for name in own}
        inspections = [inspected(service, tasks.get(service["ID"], ()), networks) for service in services]
        return [*containers, *(listed(inspection) for inspection in inspections)]

    def list_networks(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """See `Engine.list_networks`."""
        return [network | {"Name": scoped_name(network)} for network in super().list_networks(labels)]

    def inspect_container(self, container: str) -> dict[str, Any] | None:
        """The whole of one container or replica; None when it is gone."""
        if not _is_service(container):
            return super().inspect_container(container)
        service = self._or_none_if_gone(f"inspecting {container}", lambda: self._api.inspect_service(container))
        if service is None:
            return None
        with self._translate_errors(f"inspecting {container}"):
            return inspected(service, self._tasks_of(container), self._network_names())

    def logs(self, container: str, tail: int = 50, limit: int = MAX_TEXT) -> str:
        """See `Engine.logs`. Of a node that is down there are none."""
        if not _is_service(container):
            return super().logs(container, tail, limit)
        doing = f"reading logs of {container}"
        patience = self._api.allow_silence(_LOG_SECONDS)
        with contextlib.suppress(EngineUnavailable), self._translate_errors(doing), patience:
            stream = self._or_none_if_gone(
                doing,
                lambda: self._api.service_logs(container, stdout=True, stderr=True, tail=tail, is_tty=False),
            )
            return clean(b"".join(stream or ()).decode(errors="replace"), limit)
        return ""

    # --- networks -------------------------------------------------------------------------------------------

    def ensure_network(self, name: str, labels: Mapping[str, str]) -> bool:
        """See `Engine.ensure_network`."""
        return super().ensure_network(swarm_name(name), labels)

    def remove_network(self, name: str) -> None:
        super().remove_network(swarm_name(name))

    # --- replicas -------------------------------------------------------------------------------------------

    def create(self, spec: ContainerSpec) -> str:
        """Make a container, or a replica's service, whose image is pushed first. Returns the ID."""
        image = self.inspect_image(spec.image) if spec.labels.get(ROLE) == "replica" else None
        if image is None:
            return super().create(msgspec.structs.replace(spec, network=spec.network and swarm_name(spec.network)))
        repository = f"{self.registry}/{spec.labels[PROJECT]}/{spec.labels[DEPLOYMENT]}"
        reference = self.push(image["Id"], repository, spec.labels[GENERATION])
        service = service_spec(spec, reference, image)
        with self._translate_errors(f"creating {spec.name}"):
            created = self._api.create_service(
                service["TaskTemplate"],
                name=service["Name"],
                labels=service["Labels"],
                mode=service["Mode"],
                endpoint_spec=service["EndpointSpec"],
            )
        return str(created["ID"])

    def start(self, container: str, name: str = "") -> None:
        """Start a container or a replica; on the nodes with the fewest replicas of its generation, if they have room.

        Later the Swarm may move the replica to any node.
        """
        if not _is_service(container):
            return super().start(container, name)
        with self._translate_errors(f"starting {name or container}"):
            avoided = self._crowded_nodes(container)
            before = {str(task["ID"]) for task in self._tasks_of(container)}
            self._scale(container, 1, avoided)
            if avoided:
                self._await_node(container)
                self._scale(container, 1)  # moves nothing: the task's node is allowed as before
            self._await_running(container, before)

    def finish_starts(self, labels: Mapping[str, str]) -> None:
        """Take away the constraints that a killed `start` has left: the Swarm may move a replica to any node."""
        with self._translate_errors("listing services"):
            services = [service for service in self._services(labels) if is_constrained(service["Spec"])]
        for service in services:
            finish = partial(self._scale, service["ID"], 1)
            self._or_none_if_gone(f"starting {service['Spec']['Name']}", finish)

    def stop(self, container: str, grace: float) -> None:
        """See `Engine.stop`. The grace of a replica is the one of its service."""
        if not _is_service(container):
            return super().stop(container, grace)
        until = time.monotonic() + grace + _STOP_SECONDS
        if self._or_none_if_gone(f"stopping {container}", lambda: self._scale(container, 0)):
            while self._runs(container) and time.monotonic() < until:
                time.sleep(_LOOK_EVERY)

    def remove(self, container: str, *, force: bool = False, volumes: bool = True) -> None:
        """Remove a container, or a replica's service with its tasks."""
        if not _is_service(container):
            return super().remove(container, force=force, volumes=volumes)
        self._or_none_if_gone(f"removing {container}", lambda: self._api.remove_service(container))

    # --- the Swarm's own objects, without translated errors -------------------------------------------------

    def _services(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        return list(self._api.services(filters={"label": label_filter({PROJECT: "", ROLE: "replica"} | dict(labels))}))

    def _tasks(self, services: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The tasks of these services, by service."""
        tasks: dict[str, list[dict[str, Any]]] = {}
        for task in self._api.tasks(filters={"service": list(services)}) if services else ():
            tasks.setdefault(task["ServiceID"], []).append(task)
        return tasks

    def _tasks_of(self, service: str) -> list[dict[str, Any]]:
        return self._tasks([service]).get(service, [])

    def _ready_nodes(self) -> list[dict[str, Any]]:
        nodes = self._api.nodes()
        return [n for n in nodes if n["Status"]["State"] == "ready" and n["Spec"]["Availability"] == "active"]

    def _network_names(self) -> dict[str, str]:
        """The names of networks as we have them, by the Swarm's IDs and by its names."""
        networks = self._api.networks(filters={"driver": self.network_settings["driver"]})
        return {network[key]: scoped_name(network) for network in networks for key in ("Id", "Name")}

    def _crowded_nodes(self, service: str) -> list[str]:
        """The nodes that run more replicas of a service's generation than another node does."""
        labels = self._api.inspect_service(service)["Spec"]["Labels"]
        siblings = self._services({label: labels[label] for label in _SIBLINGS})
        tasks = self._tasks([sibling["ID"] for sibling in siblings]).values()
        counts = Counter(task.get("NodeID") for own in tasks if (task := newest(own)))
        ready = [node["ID"] for node in self._ready_nodes()]
        least = min((counts[node] for node in ready), default=0)
        return [node for node in ready if counts[node] > least]

    def _scale(self, service: str, tasks: int, avoided: Sequence[str] = ()) -> bool:
        """Give a service 0 tasks or 1, which is placed on another node than those that are avoided."""
        for tries_left in reversed(range(_TRIES)):
            current = self._api.inspect_service(service)
            response = self._api._post_json(
                self._api._url("/services/{0}/update", service),
                data=scaled(current["Spec"], tasks, avoided),
                params={"version": current["Version"]["Index"]},
            )
            try:
                self._api._raise_for_status(response)
                return True
            except docker.errors.APIError as error:
                # The Swarm itself changes a service while an update is under way.
                if not tries_left or "update out of sequence" not in str(error.explanation):
                    raise
        return True

    def _await_node(self, service: str) -> None:
        """Return once the Swarm has chosen a node for a service's task, or its time is up."""
        until = time.monotonic() + _PLACE_SECONDS
        while not _on_a_node(self._tasks_of(service)) and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)

    def _await_running(self, service: str, before: set[str]) -> None:
        """Return once a task of a service has run, also if it has ended by now. Raises what keeps it from that.

        Args:
            before: IDs of tasks that do not count.
        """
        began = time.monotonic()
        while True:
            tasks = [task for task in self._tasks_of(service) if task["ID"] not in before]
            states = {str(task["Status"]["State"]) for task in tasks}
            if states & {"running", "complete", "failed"}:
                return
            longest = _START_SECONDS if _on_a_node(tasks) else _PLACE_SECONDS
            if "rejected" in states or time.monotonic() - began > longest:
                why = next((task["Status"]["Err"] for task in tasks if task["Status"].get("Err")), "")
                raise docker.errors.DockerException(
                    why or f"no node runs its task: {', '.join(states) or 'there is none'}"
                )
            time.sleep(_LOOK_EVERY)

    def _runs(self, service: str) -> bool:
        """Whether a service has a task on a node that can be reached."""
        ready = {node["ID"] for node in self._ready_nodes()}
        tasks = [task for task in self._tasks_of(service) if task.get("NodeID") in ready]
        return any(task["Status"]["State"] in ("starting", "running") for task in tasks)


def _on_a_node(tasks: Sequence[Mapping[str, Any]]) -> bool:
    task = newest(tasks)
    return task is not None and bool(task.get("NodeID"))


def _is_service(container: str) -> bool:
    return _SERVICE_ID.fullmatch(container) is not None


def connect_to(url: str | None, registry: str | None, timeout: float = TIMEOUT) -> Engine:
    """Connect to an engine; with a registry, to a manager of a Swarm that pulls from it. Raises as `Engine.connect`."""
    if registry is None:
        return Engine.connect(url, timeout)
    manager = SwarmManager.connect(url, timeout)
    manager.registry = registry
    return manager
