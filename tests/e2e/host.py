"""The objects of one project on the engine, and functions that tamper with them, for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import docker

from gitops_ml.core.generation import DEPLOYMENT, ENVIRONMENT, PROJECT, ROLE, scoped

Inspected = dict[str, Any]
Change = Callable[[dict[str, Any], dict[str, Any]], None]


@dataclass
class Host:
    """One environment of one project on the engine."""

    engine: docker.DockerClient
    project: str
    environment: str = "dev"

    @property
    def api(self) -> Any:
        return self.engine.api

    @property
    def network(self) -> str:
        return scoped(self.project, self.environment)

    def of_role(self, role: str) -> list[Inspected]:
        """The environment's containers of one role, inspected, by name."""
        labels = [f"{PROJECT}={self.project}", f"{ENVIRONMENT}={self.environment}", f"{ROLE}={role}"]
        listed = self.api.containers(all=True, filters={"label": labels})
        found = [one for c in listed if (one := self._inspect(c["Id"]))]
        return sorted(found, key=lambda c: str(c["Name"]))

    def _inspect(self, container: str) -> Inspected | None:
        try:
            return dict(self.api.inspect_container(container))
        except docker.errors.NotFound:
            return None

    def replicas(self, deployment: str | None = None) -> list[Inspected]:
        """The replicas of a deployment, or of all, inspected, by name."""
        found = self.of_role("replica")
        return [c for c in found if deployment is None or c["Config"]["Labels"].get(DEPLOYMENT) == deployment]

    def gateway(self) -> Inspected:
        return self.of_role("gateway")[0]

    def in_gateway(self, script: str) -> str:
        """Run a shell script in the gateway. Returns its output."""
        made = self.api.exec_create(self.gateway()["Id"], ["sh", "-c", script])
        return str(self.api.exec_start(made).decode())

    def objects(self) -> dict[str, str]:
        """Everything on the engine with the project's label, each with a text that changes when it is touched."""
        chosen = {"label": f"{PROJECT}={self.project}"}
        found = {}
        for listed in self.api.containers(all=True, filters=chosen):
            state = self.api.inspect_container(listed["Id"])["State"]
            found[listed["Names"][0]] = f"{listed['Id']} {state['Status']} since {state['StartedAt']}"
        for network in self.api.networks(filters=chosen):
            found[f"network {network['Name']}"] = network["Id"]
        for volume in self.api.volumes(filters=chosen)["Volumes"] or []:
            found[f"volume {volume['Name']}"] = volume["CreatedAt"]
        return found

    def wipe(self) -> None:
        """Remove all containers, networks and volumes of the project, as on a new host."""
        chosen = {"label": f"{PROJECT}={self.project}"}
        for container in self.api.containers(all=True, filters=chosen):
            self.api.remove_container(container["Id"], force=True, v=True)
        for network in self.api.networks(filters=chosen):
            self.api.remove_network(network["Id"])
        for volume in self.api.volumes(filters=chosen)["Volumes"] or []:
            self.api.remove_volume(volume["Name"], force=True)

    def copy(self, original: Inspected, name: str, change: Change | None = None) -> str:
        """Start a container like `original`, as a person with `docker run` would. Returns its ID."""
        config, host = dict(original["Config"]), dict(original["HostConfig"])
        endpoints = {
            network: {"Aliases": [a for a in settings["Aliases"] or () if not original["Id"].startswith(a)]}
            for network, settings in original["NetworkSettings"]["Networks"].items()
        }
        config.pop("Hostname", None)
        if change:
            change(config, host)
        made = self.api.create_container_from_config(
            {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": endpoints}}, name
        )
        self.api.start(made["Id"])
        return str(made["Id"])

    def replace(self, original: Inspected, change: Change) -> str:
        """Replace `original` by a changed container of the same name."""
        self.api.remove_container(original["Id"], force=True)
        return self.copy(original, original["Name"].lstrip("/"), change)
