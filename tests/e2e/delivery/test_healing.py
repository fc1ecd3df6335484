"""Healing: whatever somebody changes on the host, `plan` names it and `sync` fixes it, while the rest answers."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import docker
import pytest

from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.core.generation import GENERATION, VERSION
from tests.e2e.host import Host, Inspected
from tests.e2e.workshop import EXAMPLE, MODEL, Workshop, free_port, scratch_workshop

Meddle = Callable[[Host, Inspected], object]


@dataclass
class Standing:
    """A workshop whose only deployment serves with two replicas, and its host."""

    workshop: Workshop
    host: Host
    whole: bool = True

    def pending(self) -> str:
        """The plan as text. Fails the test if nothing is pending."""
        ran = self.workshop.run("plan", "dev")
        assert ran.code == 2, f"{ran.code}\n{ran.out}\n{ran.err}"
        return ran.out

    def pending_within(self, seconds: float) -> str:
        """The plan as text, once something is pending."""
        deadline = time.monotonic() + seconds
        while (ran := self.workshop.run("plan", "dev")).code == 0 and time.monotonic() < deadline:
            time.sleep(0.5)
        assert ran.code == 2, f"{ran.code}\n{ran.out}\n{ran.err}"
        return ran.out

    def require_whole(self) -> None:
        """Check that two replicas answer through the gateway, nothing is pending and there are no other objects."""
        deadline = time.monotonic() + 15
        # The gateway looks at each server every 2 s, and may just have met one that was on its way out.
        while (status := self.workshop.status())["health"] != "Healthy" and time.monotonic() < deadline:
            time.sleep(0.2)
        assert (status["sync"], status["health"]) == ("Synced", "Healthy"), status
        assert status["replicas"] == {"desired": 2, "ready": 2}
        assert self.workshop.serving() == "v1.0.0"
        roles = [len(self.host.of_role(role)) for role in ("replica", "gateway", "probe", "volume-reader", "lock")]
        assert roles == [2, 1, 0, 0, 0]
        self.whole = True


@pytest.fixture(scope="module")
def raised(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    with scratch_workshop(engine, tmp_path_factory.mktemp("healing"), "healing") as workshop:
        workshop.environment(drain="2s")
        workshop.release("v1.0.0")
        workshop.declare("v1.0.0", replicas=2, serve={"start_timeout": "30s"})
        workshop.sync()
        yield Standing(workshop, Host(engine, workshop.project))


@pytest.fixture
def standing(raised: Standing) -> Standing:
    """The host, repaired after each test, so that a failed test does not make the next one fail."""
    if not raised.whole:
        raised.workshop.sync()
    raised.whole = False
    return raised


@pytest.fixture
def elsewhere(standing: Standing) -> Iterator[str]:
    """A network without our labels."""
    name = f"{standing.host.project}-elsewhere"
    standing.host.api.create_network(name, driver="bridge")
    yield name
    standing.host.api.remove_network(name)


def _with_env(config: Inspected, host: Inspected) -> None:
    config["Env"] = [*config["Env"], "LOG_LEVEL=debug"]


def _with_mount(config: Inspected, host: Inspected) -> None:
    host["Binds"] = ["/etc/hostname:/srv/extra:ro"]


def _with_label(config: Inspected, host: Inspected) -> None:
    config["Labels"] = config["Labels"] | {VERSION: "v0.9.0"}


def _with_command(config: Inspected, host: Inspected) -> None:
    config["Cmd"] = [*config["Cmd"], "--verbose"]


def _as_privileged(config: Inspected, host: Inspected) -> None:
    host["Privileged"] = True


def _reconnect_without_alias(host: Host, replica: Inspected) -> None:
    host.api.disconnect_container_from_network(replica["Id"], host.network)
    host.api.connect_container_to_network(replica["Id"], host.network)


HARMLESS: dict[str, tuple[Meddle, str]] = {
    "given more memory": (
        lambda h, r: h.api.update_container(r["Id"], mem_limit="1g", memswap_limit="2g"),
        "its memory is 1073741824, declared 536870912",
    ),
    "told not to restart": (
        lambda h, r: h.api.update_container(r["Id"], restart_policy={"Name": "no"}),
        "its restart is no, declared unless-stopped",
    ),
    "renamed": (lambda h, r: h.api.rename(r["Id"], f"{h.project}-renamed"), "its name is"),
}
CUTTING: dict[str, tuple[Meddle, str]] = {
    "killed": (lambda h, r: h.api.kill(r["Id"]), "a replica is exited"),
    "stopped": (lambda h, r: h.api.stop(r["Id"], timeout=5), "a replica is exited"),
    "removed": (lambda h, r: h.api.remove_container(r["Id"], force=True), "1 of 2 replicas run"),
    "paused": (lambda h, r: h.api.pause(r["Id"]), "a replica is paused"),
    "replaced with another env": (lambda h, r: h.replace(r, _with_env), "its env is different in LOG_LEVEL"),
    "replaced with another mount": (lambda h, r: h.replace(r, _with_mount), "its mounts is"),
    "replaced with another label": (lambda h, r: h.replace(r, _with_label), "its labels is"),
    "replaced with another command": (lambda h, r: h.replace(r, _with_command), "its command is"),
    "replaced with privileges": (lambda h, r: h.replace(r, _as_privileged), "its privileges is"),
}


ASTRAY: dict[str, tuple[Meddle, str]] = {
    "taken off its network": (
        lambda h, r: h.api.disconnect_container_from_network(r["Id"], h.network),
        "its networks is []",
    ),
    "robbed of its alias": (_reconnect_without_alias, "its aliases is"),
}


@pytest.mark.parametrize("how", HARMLESS)
def test_a_replica_that_was_changed_is_replaced_without_losing_a_request(standing: Standing, how: str) -> None:
    meddle, cause = HARMLESS[how]
    with SteadyLoad(standing.workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=20) as load:
        meddle(standing.host, standing.host.replicas()[0])
        assert cause in standing.pending()
        standing.workshop.sync()
    standing.require_whole()
    assert load.report.failed == 0, load.report.errors


@pytest.mark.parametrize("how", CUTTING)
def test_a_replica_that_was_cut_off_is_replaced_while_the_other_answers(standing: Standing, how: str) -> None:
    meddle, cause = CUTTING[how]
    with SteadyLoad(standing.workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=20) as load:
        meddle(standing.host, standing.host.replicas()[0])
        assert cause in standing.pending()
        standing.workshop.sync()
    standing.require_whole()
    assert load.report.failed < load.report.sent / 2, load.report.errors


@pytest.mark.parametrize("how", ASTRAY)
def test_a_replica_that_cannot_be_reached_is_replaced(standing: Standing, how: str) -> None:
    meddle, cause = ASTRAY[how]
    meddle(standing.host, standing.host.replicas()[0])
    assert cause in standing.pending()
    standing.workshop.sync()
    standing.require_whole()


def _hang(host: Host, replica: Inspected) -> None:
    """Stop the processes of a container by SIGSTOP, as a process that hangs: it runs, and every request waits."""
    for process in host.api.top(replica["Id"])["Processes"]:
        os.kill(int(process[1]), signal.SIGSTOP)


def test_a_replica_that_hangs_is_replaced_while_the_other_answers(standing: Standing) -> None:
    hung = standing.host.replicas()[0]
    with SteadyLoad(standing.workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=20) as load:
        _hang(standing.host, hung)
        text = standing.pending_within(60)
        assert "start dev/churn" in text and "x1 because a replica does not answer" in text
        began = time.monotonic()
        standing.workshop.sync()
        took = time.monotonic() - began
    standing.require_whole()
    assert hung["Id"] not in [c["Id"] for c in standing.host.replicas()]
    assert took < 60, "two looks, each of which waits 16 s for an answer, and 5 s for the replica to end"
    assert load.report.failed < load.report.sent / 2, load.report.errors


def test_a_replica_with_another_image_is_replaced(standing: Standing) -> None:
    replica = standing.host.replicas()[0]
    forged = standing.host.api.commit(replica["Id"], repository=standing.host.project)["Id"]
    try:
        standing.host.replace(replica, lambda config, host: config.update(Image=forged))
        assert "its image is" in standing.pending()
        standing.workshop.sync()
        standing.require_whole()
    finally:
        standing.host.api.remove_image(forged, force=True)


def test_a_replica_on_a_second_network_is_replaced_and_the_network_left_alone(
    standing: Standing, elsewhere: str
) -> None:
    standing.host.api.connect_container_to_network(standing.host.replicas()[0]["Id"], elsewhere)
    assert f"its networks is ['{elsewhere}', '{standing.host.network}']" in standing.pending()
    standing.workshop.sync()
    standing.require_whole()
    assert standing.host.api.inspect_network(elsewhere)["Containers"] == {}


def test_unknown_containers_with_our_labels_are_removed(standing: Standing) -> None:
    host, replica = standing.host, standing.host.replicas()[0]
    host.copy(replica, f"{host.project}-twin")
    host.copy(
        replica,
        f"{host.project}-stranger",
        lambda config, _: config.update(Labels=config["Labels"] | {GENERATION: "0" * 12}),
    )
    text = standing.pending()
    assert "its name is" in text
    assert "retire dev/churn 000000000000 because" in text
    standing.workshop.sync()
    standing.require_whole()


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
