"""Healing of replicas: `plan` names what somebody changed, and `sync` fixes it, while the other one answers."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.core.generation import GENERATION, VERSION
from tests.e2e.healing.conftest import Standing
from tests.e2e.host import Host, Inspected
from tests.e2e.workshop import EXAMPLE

Meddle = Callable[[Host, Inspected], object]


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
