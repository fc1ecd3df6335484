"""Who else has the port of a gateway on its engine."""

from __future__ import annotations

from typing import Any

from gitops_ml.clients.engine.client import Engine
from gitops_ml.core.declaration.schema import Gateway
from gitops_ml.core.generation import ENVIRONMENT, PROJECT
from gitops_ml.errors import InputError

_ALL = ("0.0.0.0", "::")


def require_free_port(engine: Engine, project: str, environment: str, gateway: Gateway) -> None:
    """Raises `InputError` where a container publishes the port of an environment's gateway, and is not that gateway.

    Processes that are no containers are not seen: the engine does not know them.
    """
    for container in engine.list_containers({}):
        labels = container["Labels"] or {}
        own = (labels.get(PROJECT), labels.get(ENVIRONMENT)) == (project, environment)
        if not own and any(_takes(port, gateway.bind, gateway.port) for port in container.get("Ports") or ()):
            name = container["Names"][0].removeprefix("/")
            whose = f"the gateway of {labels[PROJECT]} {labels.get(ENVIRONMENT)}" if PROJECT in labels else "not ours"
            raise InputError(
                f"{environment} cannot listen on port {gateway.port}",
                why=f"the container {name} publishes it ({whose})",
                fix=f"change gateway.port in environments/{environment}/environment.yaml",
            )


def _takes(published: dict[str, Any], bind: str, port: int) -> bool:
    address = published.get("IP") or "0.0.0.0"
    return published.get("PublicPort") == port and (address == bind or address in _ALL or bind in _ALL)
