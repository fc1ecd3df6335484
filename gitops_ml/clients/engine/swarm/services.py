"""Services as data, without any call of the engine: the request for one, and a service in the form of a container.

A replica is a service of one task. So it keeps its network alias wherever the Swarm puts it, and routes name it as they
name a container. What is read back has the keys of the engine's own answers about containers, so that everything that
reads those (drift, health, status) reads a Swarm's too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from gitops_ml.core.generation import ENVIRONMENT, LABEL, PROJECT, ContainerSpec, nano_cpus, scoped

NAME = LABEL + "name"
"""The label with a replica's whole name, which may be too long for a service."""
IMAGE = LABEL + "image"
"""The label with the ID that a replica's image has on the manager, and the reference that the nodes pull."""
_LONGEST_NAME = 63
_ENDED = ("complete", "failed", "rejected")
"""States of a task that ended by itself; one that the Swarm ends is `shutdown`, `remove` or `orphaned`."""
_RESTART_DELAY = 10**9


def service_spec(spec: ContainerSpec, reference: str, image: Mapping[str, Any]) -> dict[str, Any]:
    """The service of one replica. It has no task yet, as a container that is created and not started.

    Args:
        reference: where the nodes pull the image from, by digest.
        image: the image as the manager's engine describes it.
    """
    labels = spec.labels | {NAME: spec.name, IMAGE: f"{image['Id']} {reference}"}
    mounts: list[dict[str, Any]] = [
        {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True}
        for target, source in sorted(spec.binds.items())
    ]
    mounts += [{"Type": "tmpfs", "Target": target} for target in spec.tmpfs]
    container: dict[str, Any] = {
        "Image": reference,
        "Labels": labels,
        "Env": [f"{name}={value}" for name, value in sorted(spec.env.items())],
        "User": spec.user,
        "ReadOnly": spec.read_only,
        "Init": True,
        "CapabilityDrop": ["ALL"],
        "Privileges": {"NoNewPrivileges": True},  # engines before 25 know no such key, and leave it out
        "Mounts": mounts,
        "StopGracePeriod": spec.stop_grace * 10**9,
    }
    if spec.command is not None:
        container["Args"] = list(spec.command)
    if spec.entrypoint is not None:
        container["Command"] = list(spec.entrypoint)
    return {
        "Name": swarm_name(spec.name)[-_LONGEST_NAME:].lstrip("_-"),
        "Labels": labels,
        "TaskTemplate": {
            "ContainerSpec": container,
            "Resources": {
                "Limits": {"NanoCPUs": nano_cpus(spec.cpus), "MemoryBytes": spec.memory, "Pids": spec.pids},
                # So that no node gets more replicas than it has memory for. CPUs can be shared, and are: a candidate
                # runs beside the incumbent.
                "Reservations": {"MemoryBytes": spec.memory},
            },
            "RestartPolicy": {"Condition": "any", "Delay": _RESTART_DELAY},
            "Placement": {"Platforms": [{"Architecture": image["Architecture"], "OS": image["Os"]}]},
            "Networks": [{"Target": swarm_name(spec.network or ""), "Aliases": list(spec.aliases)}],
            "LogDriver": {
                "Name": "json-file",
                "Options": {"max-size": spec.log_max_size, "max-file": str(spec.log_max_files)},
            },
        },
        "Mode": {"Replicated": {"Replicas": 0}},
        "EndpointSpec": {"Mode": "dnsrr"},
    }


def swarm_name(name: str) -> str:
    """A name of ours as a Swarm takes it, which allows no dots; ours have no underscores."""
    return name.replace(".", "_")


def scoped_name(network: Mapping[str, Any]) -> str:
    """A network's name as we have it."""
    labels = network.get("Labels") or {}
    own = scoped(labels.get(PROJECT, ""), labels.get(ENVIRONMENT, ""))
    return own if network["Name"] == swarm_name(own) else str(network["Name"])


def scaled(spec: Mapping[str, Any], replicas: int, avoided: Sequence[str] = ()) -> dict[str, Any]:
    """A service's spec with another number of tasks, to be placed on other nodes than these."""
    task = spec["TaskTemplate"]
    placement = {**task.get("Placement", {}), "Constraints": [f"node.id!={node}" for node in avoided]}
    return {
        **spec,
        "Mode": {"Replicated": {"Replicas": replicas}},
        "TaskTemplate": {**task, "Placement": placement},
    }


def is_constrained(spec: Mapping[str, Any]) -> bool:
    """Whether a service that has a task avoids nodes."""
    tasks = spec["Mode"]["Replicated"]["Replicas"]
    return bool(tasks and spec["TaskTemplate"].get("Placement", {}).get("Constraints"))


def newest(tasks: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The task that stands for a service now; None if it has none."""
    return max(tasks, key=lambda task: datetime.fromisoformat(task["CreatedAt"]), default=None)


def inspected(
    service: Mapping[str, Any], tasks: Sequence[Mapping[str, Any]], networks: Mapping[str, str]
) -> dict[str, Any]:
    """A service of one task, as the engine would describe a container.

    Args:
        tasks: the service's own, of which the Swarm keeps the last few.
        networks: the names of the Swarm's networks, by ID.
    """
    spec = service["Spec"]
    labels = dict(spec.get("Labels") or {})
    task = spec["TaskTemplate"]
    container = task["ContainerSpec"]
    limits = (task.get("Resources") or {}).get("Limits") or {}
    mounts = container.get("Mounts") or []
    image, _, reference = labels.pop(IMAGE, "").partition(" ")
    name = labels.pop(NAME, spec["Name"])
    ended = [own for own in tasks if own["Status"]["State"] in _ENDED]
    return {
        "Id": service["ID"],
        "Name": f"/{name}",
        "Created": int(datetime.fromisoformat(service["CreatedAt"]).timestamp()),
        "Image": image if container["Image"] == reference else container["Image"],
        "Config": {
            "Labels": labels,
            "Cmd": container.get("Args"),
            "Entrypoint": container.get("Command"),
            "Env": container.get("Env"),
            "User": container.get("User"),
        },
        "HostConfig": {
            "Tmpfs": {mount["Target"]: "" for mount in mounts if mount["Type"] == "tmpfs"},
            "NanoCpus": limits.get("NanoCPUs"),
            "Memory": limits.get("MemoryBytes"),
            "PidsLimit": limits.get("Pids"),
            "RestartPolicy": {"Name": _restart((task.get("RestartPolicy") or {}).get("Condition"))},
            "ReadonlyRootfs": container.get("ReadOnly"),
            "CapDrop": container.get("CapabilityDrop"),
            "CapAdd": container.get("CapabilityAdd"),
            # A Swarm cannot take it away again; engines before 25 cannot give it either, and do not say so.
            "SecurityOpt": ["no-new-privileges"],
        },
        "Mounts": [
            {
                "Type": mount["Type"],
                "Source": mount.get("Source", ""),
                "Destination": mount["Target"],
                "RW": not mount.get("ReadOnly"),
            }
            for mount in mounts
            if mount["Type"] != "tmpfs"
        ],
        "NetworkSettings": {
            "Networks": {
                networks.get(network["Target"], network["Target"]): {"Aliases": network.get("Aliases") or ()}
                for network in task.get("Networks") or ()
            }
        },
        "RestartCount": sum(task["Status"]["State"] != "rejected" for task in ended),  # a node never ran those
        "State": _state(newest(tasks), ended),
    }


def listed(inspection: Mapping[str, Any]) -> dict[str, Any]:
    """The same as an entry of the engine's list of containers; `Inspection` is the whole of it."""
    return {
        "Id": inspection["Id"],
        "Names": [inspection["Name"]],
        "ImageID": inspection["Image"],
        "State": inspection["State"]["Status"],
        "Created": inspection["Created"],
        "Labels": inspection["Config"]["Labels"],
        "NetworkSettings": inspection["NetworkSettings"],
        "Inspection": inspection,
    }


def _restart(condition: str | None) -> str:
    return {"any": "unless-stopped", None: "unless-stopped", "none": "no"}.get(condition, str(condition))


def _state(task: Mapping[str, Any] | None, ended: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The state of a container: `running`, `created` while its task waits, `restarting` once a task has ended."""
    status = "created"
    if task and task["Status"]["State"] == "running":
        status = "running"
    elif ended:
        status = "restarting"
    last = newest(ended)
    return {
        "Status": status,
        "StartedAt": task["Status"]["Timestamp"] if task and status == "running" else "",
        "ExitCode": int((last["Status"].get("ContainerStatus") or {}).get("ExitCode") or 0) if last else 0,
        "OOMKilled": False,
    }
