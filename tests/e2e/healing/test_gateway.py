"""Healing of the gateway, its routes and its journal: `plan` names what somebody changed, and `sync` fixes it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable

import pytest

from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from tests.e2e.healing.conftest import Standing
from tests.e2e.host import Host, Inspected
from tests.e2e.workshop import MODEL
from tests.ports import free_port

Meddle = Callable[[Host, Inspected], object]
ROUTES = {
    "edited": (f"sed -i s/8080/8089/ /gateway/routes/{MODEL}.yml", "its route is not what it should be"),
    "removed": (f"rm /gateway/routes/{MODEL}.yml", "it has no route"),
    "not YAML any more": (f"echo '}}' > /gateway/routes/{MODEL}.yml", "its route is not what it should be"),
}


@pytest.mark.parametrize("how", ROUTES)
def test_a_changed_route_file_is_restored(standing: Standing, how: str) -> None:
    script, cause = ROUTES[how]
    standing.host.in_gateway(script)
    assert cause in standing.pending()
    standing.workshop.sync()
    standing.require_whole()


def test_a_route_without_a_deployment_is_removed(standing: Standing) -> None:
    standing.host.in_gateway(f"sed s/{MODEL}/ghost/g /gateway/routes/{MODEL}.yml > /gateway/routes/ghost.yml")
    assert "unroute dev/ghost - because it is no longer declared" in standing.pending()
    standing.workshop.sync()
    standing.require_whole()
    assert "ghost" not in standing.host.in_gateway("ls /gateway/routes")


def _on_another_port(config: Inspected, host: Inspected) -> None:
    host["PortBindings"] = {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(free_port())}]}


def _remove_network(host: Host, gateway: Inspected) -> None:
    for container in (gateway, *host.replicas()):
        host.api.disconnect_container_from_network(container["Id"], host.network, force=True)
    host.api.remove_network(host.network)


GATEWAYS: dict[str, tuple[Meddle, str]] = {
    "stopped": (lambda h, g: h.api.stop(g["Id"]), "it is exited"),
    "paused": (lambda h, g: h.api.pause(g["Id"]), "it is paused"),
    "removed": (lambda h, g: h.api.remove_container(g["Id"], force=True), "the environment has no gateway"),
    "replaced on another port": (lambda h, g: h.replace(g, _on_another_port), "its ports is"),
    "joined by another": (
        lambda h, g: h.copy(g, f"{h.project}-second", lambda _, host: host.update(PortBindings={})),
        "2 gateways exist",
    ),
    "robbed of its network": (_remove_network, "the environment has no network"),
}


@pytest.mark.parametrize("how", GATEWAYS)
def test_a_changed_gateway_is_replaced(standing: Standing, how: str) -> None:
    meddle, cause = GATEWAYS[how]
    meddle(standing.host, standing.host.gateway())
    assert f"ensure-gateway dev/gateway {GATEWAY_IMAGE} because {cause}" in standing.pending()
    standing.workshop.sync()
    standing.require_whole()


def test_what_serves_is_healed_beside_a_newer_versions_journal_which_a_command_then_mends(standing: Standing) -> None:
    """So it is where no clone has the commit that was applied last."""
    host, entry = standing.host, '{"kind":"moved","at":"x"}'
    name = f"0000009999-{hashlib.sha256(entry.encode()).hexdigest()[:16]}.json"
    assert (
        host.in_gateway(f"printf %s '{entry}' >/gateway/journal/{name} && sha256sum /gateway/journal/{name}")[:16]
        in name
    )
    host.api.kill(host.replicas()[0]["Id"])
    assert "gitops-ml sync dev --rebuild-journal" in standing.workshop.sync(expect=1).err
    assert [c["State"]["Status"] for c in host.replicas()] == ["running", "running"]
    host.api.stop(host.gateway()["Id"])
    start = standing.workshop.sync("dev", "--rebuild-journal", expect=1).err.split("fix: ")[1].splitlines()[0]
    subprocess.run(start, shell=True, check=True, capture_output=True)
    standing.workshop.sync("dev", "--rebuild-journal")
    standing.require_whole()
    entry = json.dumps({"kind": "applied", "at": "2026-01-01T00:00:00+00:00", "commit": "f" * 40})
    name = f"0000019999-{hashlib.sha256(entry.encode()).hexdigest()[:16]}.json"
    host.in_gateway(f"printf %s '{entry}' >/gateway/journal/{name}")
    host.api.kill(host.replicas()[0]["Id"])
    assert "gitops-ml sync dev --allow-older" in standing.workshop.sync(expect=1).err
    assert [c["State"]["Status"] for c in host.replicas()] == ["running", "running"]
    host.api.kill(host.replicas()[0]["Id"])
    standing.workshop.sync("dev", "--allow-older")
    standing.require_whole()
    standing.workshop.sync()


def test_a_lost_volume_costs_the_journal_and_not_the_deployment(standing: Standing) -> None:
    host, gateway = standing.host, standing.host.gateway()
    host.api.remove_container(gateway["Id"], force=True)
    host.api.remove_volume(gateway["Name"].lstrip("/"))
    assert "because the environment has no volume" in standing.pending()
    standing.workshop.sync()
    standing.require_whole()
    assert standing.workshop.record()["verdict"] == "Verified"
