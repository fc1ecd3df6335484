"""Containers as data, without any call of the engine: the request for a container, and what an inspection says.

`container_config` is the request. `facts_of` reads an inspected container back into the same terms, so that what runs
can be compared with what was asked for. An inspection merges the image's own environment, command and entrypoint into
the container's. So a label of each container names what it was *given*. Values that were not given and equal the
image's own are left out of the facts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.core.generation import LABEL, ContainerSpec, nano_cpus
from gitops_ml.core.observed import Container, ContainerFacts

GIVEN = LABEL + "given"
_ANONYMOUS = re.compile(r"[0-9a-f]{64}")


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What an image gives its containers. An image never changes under its ID."""

    env: tuple[str, ...] = ()
    command: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None


def container_config(spec: ContainerSpec) -> dict[str, Any]:
    """The body of the engine's create call.

    Bind mounts go under `Mounts`: with `Binds` the engine would make an empty folder for a host path that is missing,
    instead of refusing.
    """
    given = [*(f"env.{name}" for name in sorted(spec.env))]
    given += ["command"] if spec.command is not None else []
    given += ["entrypoint"] if spec.entrypoint is not None else []
    mounts: list[dict[str, Any]] = [
        {"Type": "bind", "Source": source, "Target": target, "ReadOnly": True}
        for target, source in sorted(spec.binds.items())
    ]
    mounts += [
        {"Type": "volume", "Source": source, "Target": target} for source, target in sorted(spec.volumes.items())
    ]
    host: dict[str, Any] = {
        "NetworkMode": spec.network or "none",
        "ReadonlyRootfs": spec.read_only,
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Init": True,
        "Mounts": mounts,
        "Tmpfs": dict.fromkeys(spec.tmpfs, ""),
        "PortBindings": {
            f"{port}/tcp": [{"HostIp": bind, "HostPort": str(published)}]
            for port, (bind, published) in sorted(spec.ports.items())
        },
        "RestartPolicy": {"Name": spec.restart},
        "NanoCpus": nano_cpus(spec.cpus),
        "Memory": spec.memory,
        "MemorySwap": spec.memory,
        "PidsLimit": spec.pids or None,
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": spec.log_max_size, "max-file": str(spec.log_max_files)},
        },
    }
    config: dict[str, Any] = {
        "Image": spec.image,
        "Labels": {**spec.labels, GIVEN: " ".join(given)},
        "Env": [f"{name}={value}" for name, value in sorted(spec.env.items())],
        "User": spec.user,
        "StopTimeout": spec.stop_grace,
        "ExposedPorts": {f"{port}/tcp": {} for port in sorted(spec.ports)},
        "Volumes": {path: {} for path in spec.anonymous_volumes},
        "HostConfig": host,
    }
    if spec.gpus:
        # As `docker run --gpus N` asks; without a GPU the engine makes such a container, and does not start it.
        host["DeviceRequests"] = [{"Driver": "", "Count": spec.gpus, "Capabilities": [["gpu"]]}]
    if spec.workdir:
        config["WorkingDir"] = spec.workdir
    if spec.command is not None:
        config["Cmd"] = list(spec.command)
    if spec.entrypoint is not None:
        config["Entrypoint"] = list(spec.entrypoint)
    if spec.network and spec.aliases:
        config["NetworkingConfig"] = {"EndpointsConfig": {spec.network: {"Aliases": list(spec.aliases)}}}
    return config


def image_facts(inspected: Mapping[str, Any]) -> ImageFacts:
    """What an inspected image gives its containers."""
    config = inspected.get("Config") or {}
    return ImageFacts(
        env=tuple(config.get("Env") or ()),
        command=_words(config.get("Cmd")),
        entrypoint=_words(config.get("Entrypoint")),
    )


def facts_of(inspected: Mapping[str, Any], image: ImageFacts) -> ContainerFacts:
    """The facts of one container; `command` and `entrypoint` are None where they are the image's own."""
    config, host = inspected["Config"], inspected["HostConfig"]
    given = set(((config.get("Labels") or {}).get(GIVEN) or "").split())
    command, entrypoint = _words(config.get("Cmd")), _words(config.get("Entrypoint"))
    env = {}
    for entry in config.get("Env") or ():
        name, _, value = entry.partition("=")
        if f"env.{name}" in given or entry not in image.env:
            env[name] = value
    return ContainerFacts(
        image_id=inspected["Image"],
        command=command if "command" in given or command != image.command else None,
        entrypoint=entrypoint if "entrypoint" in given or entrypoint != image.entrypoint else None,
        env=dict(sorted(env.items())),
        mounts=_mounts(inspected.get("Mounts") or ()),
        tmpfs=tuple(sorted(host.get("Tmpfs") or ())),
        cpus=_cpus(host),
        memory=host.get("Memory") or 0,
        pids=max(0, host.get("PidsLimit") or 0),
        gpus=_gpus(host),
        restart=(host.get("RestartPolicy") or {}).get("Name") or "no",
        user=config.get("User") or "",
        read_only=bool(host.get("ReadonlyRootfs")),
        cap_drop=tuple(sorted(host.get("CapDrop") or ())),
        cap_add=tuple(sorted(host.get("CapAdd") or ())),
        privileged=bool(host.get("Privileged")),
        no_new_privileges=any(o.startswith("no-new-privileges") for o in host.get("SecurityOpt") or ()),
        ports=_ports(host.get("PortBindings") or {}),
        aliases=_aliases(inspected),
        restarts=int(inspected.get("RestartCount") or 0),
        started=str(inspected["State"].get("StartedAt") or ""),
        out_of_memory=bool(inspected["State"].get("OOMKilled")),
    )


def listed_container(listed: Mapping[str, Any], facts: ContainerFacts | None = None) -> Container:
    """One entry of the engine's list of containers, with our own labels only."""
    labels = {k: v for k, v in (listed["Labels"] or {}).items() if k.startswith(LABEL) and k != GIVEN}
    return Container(
        id=listed["Id"],
        # A link from another container is listed as one more name, with a second slash.
        name=next((n[1:] for n in listed["Names"] if n.count("/") == 1), ""),
        image_id=listed["ImageID"],
        state=listed["State"],
        created=int(listed["Created"]),
        labels=dict(sorted(labels.items())),
        networks=tuple(sorted((listed.get("NetworkSettings") or {}).get("Networks") or ())),
        facts=facts,
    )


def _words(value: list[str] | str | None) -> tuple[str, ...] | None:
    if not value:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _cpus(host: Mapping[str, Any]) -> float:
    if host.get("NanoCpus"):
        return float(host["NanoCpus"]) / 1e9
    if host.get("CpuQuota") and host.get("CpuPeriod"):
        return float(host["CpuQuota"]) / float(host["CpuPeriod"])
    return 0.0


def _gpus(host: Mapping[str, Any]) -> int:
    """The GPUs that a container was given, -1 for all."""
    requests = [r for r in host.get("DeviceRequests") or () if ["gpu"] in (r.get("Capabilities") or ())]
    return sum(int(r.get("Count") or len(r.get("DeviceIDs") or ())) for r in requests)


def offered_gpus(info: Mapping[str, Any]) -> int | None:
    """How many GPUs an engine offers, by its own `info`; None if it offers some, and does not say how many.

    It names devices of the Container Device Interface (`DiscoveredDevices`, from 28.2 on), resources that its operator
    lists for Swarm (`GenericResources`), and the runtime that NVIDIA's container toolkit adds:
    https://docs.docker.com/reference/api/engine/version/v1.51/#tag/System/operation/SystemInfo.
    """
    found = [str(device.get("ID") or "") for device in info.get("DiscoveredDevices") or ()]
    numbered = {device for device in found if re.fullmatch(r"nvidia\.com/gpu=\d+", device)}
    resources = 0
    for resource in info.get("GenericResources") or ():
        named, counted = resource.get("NamedResourceSpec") or {}, resource.get("DiscreteResourceSpec") or {}
        if "gpu" in str(named.get("Kind") or counted.get("Kind") or "").lower():
            resources += int(counted.get("Value") or 1)
    if numbered or resources:
        return max(len(numbered), resources)
    return None if "nvidia" in (info.get("Runtimes") or {}) else 0


def _mounts(mounts: Any) -> dict[str, str]:
    """Target to `<volume or path>:<rw|ro>`; without anonymous volumes, which images ask for."""
    modes = {}
    for mount in mounts:
        named = mount.get("Name") if mount.get("Type") == "volume" else None
        if named and _ANONYMOUS.fullmatch(named):
            continue
        modes[mount["Destination"]] = f"{named or mount.get('Source', '')}:{'rw' if mount.get('RW') else 'ro'}"
    return dict(sorted(modes.items()))


def _ports(bindings: Mapping[str, Any]) -> dict[int, tuple[str, int]]:
    return {
        int(port.partition("/")[0]): (bound[0].get("HostIp") or "", int(bound[0].get("HostPort") or 0))
        for port, bound in sorted(bindings.items())
        if bound
    }


def _aliases(inspected: Mapping[str, Any]) -> tuple[str, ...]:
    """The aliases that were asked for. Engines add the short ID, some engines more than once."""
    aliases: set[str] = set()
    for network in ((inspected.get("NetworkSettings") or {}).get("Networks") or {}).values():
        aliases.update(network.get("Aliases") or ())
    return tuple(sorted(aliases - {inspected["Id"][:12], inspected["Name"].lstrip("/")}))
