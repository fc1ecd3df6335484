"""The engine's prose, translated: whether a person has to act, and what fixes it."""

from __future__ import annotations

import pytest

from gitops_ml.clients.engine.errors import build_failed, failed, push_failed
from gitops_ml.errors import EngineFailed, ModelRejected, Stalled

ENDPOINT = "driver failed programming external connectivity on endpoint shop.dev.gateway (16ac0bb63fe1): "


@pytest.mark.parametrize(
    ("message", "address"),
    [
        (
            "Error starting userland proxy: listen tcp4 203.0.113.9:80: bind: cannot assign requested address",
            "203.0.113.9",
        ),
        (
            "Error starting userland proxy: listen tcp6 [2001:db8::9]:80: bind: cannot assign requested address",
            "2001:db8::9",
        ),
        (
            "failed to bind host port for 203.0.113.9:8099:172.17.0.2:80/tcp: cannot assign requested address",
            "203.0.113.9",
        ),
    ],
)
def test_an_address_that_the_host_lacks_needs_a_person(message: str, address: str) -> None:
    error = failed("starting shop.dev.gateway", ENDPOINT + message)
    assert isinstance(error, Stalled)
    assert error.what == f"the engine's host has no address {address} (starting shop.dev.gateway)"
    assert "gateway.bind" in error.fix


def test_more_cpus_than_the_host_has_need_a_person() -> None:
    message = "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
    error = failed("creating shop.dev.churn", message)
    assert isinstance(error, Stalled)
    assert (error.why, error.fix) == (message, "lower resources.cpus of the deployment")


def test_an_unknown_error_names_a_fix_too() -> None:
    for error in (failed("starting shop.dev.churn", "oops"), build_failed("churn:1", "oops", "last line")):
        assert isinstance(error, EngineFailed)
        assert error.fix


@pytest.mark.parametrize(
    "message",
    [
        "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network",
        "all predefined address pools have been fully subnetted",
    ],
)
def test_no_address_range_left_names_what_frees_one(message: str) -> None:
    error = failed("creating network shop.dev", message)
    assert error.what == "the engine has no address range left for a network (creating network shop.dev)"
    assert "docker network prune" in error.fix


@pytest.mark.parametrize(
    "why",
    [
        'exec: "python": executable file not found in $PATH: unknown',
        "exec /usr/bin/python: argument list too long: unknown",
        'write "/sys/fs/cgroup/pids.max": invalid argument: unknown',
    ],
)
def test_a_container_that_no_second_try_starts_is_the_candidates_fault(why: str) -> None:
    message = f"failed to create shim: OCI runtime create failed: container_linux.go:380: starting process: {why}"
    assert isinstance(failed("starting a replica", message), ModelRejected)
    assert isinstance(failed("starting a replica", f"OCI runtime create failed: {why[:4]} device busy"), EngineFailed)


@pytest.mark.parametrize(
    ("why", "fix"),
    [
        ("no basic auth credentials", "docker login registry.example:5000"),
        ("denied: requested access to the resource is denied", "docker login registry.example:5000"),
        ("unauthorized: authentication required", "docker login registry.example:5000"),
        ("Get https://registry.example:5000/v2/: dial tcp: connect: connection refused", "start the registry"),
        ("received unexpected HTTP status: 500 Internal Server Error", "look into the log of registry.example:5000"),
    ],
)
def test_a_push_that_fails_names_the_registry(why: str, fix: str) -> None:
    error = push_failed("registry.example:5000/shop/churn:abc", why)
    assert error.what == "the image registry.example:5000/shop/churn:abc could not be pushed"
    assert error.why == why and error.fix.startswith(fix)


def test_a_swarm_without_room_names_what_shows_its_nodes() -> None:
    error = failed("starting shop.dev.churn", "no suitable node (insufficient resources on 2 nodes)")
    assert isinstance(error, EngineFailed) and "docker node ls" in error.fix


@pytest.mark.parametrize("state", ["Worker nodes can't be used to view cluster state.", 'Use "docker swarm init".'])
def test_an_engine_that_manages_no_swarm_needs_a_person(state: str) -> None:
    error = failed("listing services", f"This node is not a swarm manager. {state}")
    assert isinstance(error, Stalled)
    assert error.what == "the engine manages no Swarm (listing services)"
