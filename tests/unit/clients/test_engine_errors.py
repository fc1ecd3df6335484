"""What the engine says in prose, in our words: whether a person has to act, and what fixes it."""

from __future__ import annotations

import pytest

from gitops_ml.clients.engine.errors import build_failed, failed
from gitops_ml.errors import EngineFailed, Stalled

ENDPOINT = "driver failed programming external connectivity on endpoint shop.dev.gateway (16ac0bb63fe1): "


@pytest.mark.parametrize(
    ("said", "address"),
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
def test_an_address_that_the_host_has_not_needs_a_person(said: str, address: str) -> None:
    error = failed("starting shop.dev.gateway", ENDPOINT + said)
    assert isinstance(error, Stalled)
    assert error.what == f"the engine's host has no address {address} (starting shop.dev.gateway)"
    assert "gateway.bind" in error.fix


def test_cpus_that_the_host_has_not_need_a_person() -> None:
    said = "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"
    error = failed("creating shop.dev.churn", said)
    assert isinstance(error, Stalled)
    assert (error.why, error.fix) == (said, "lower resources.cpus of the deployment")


def test_what_is_not_known_has_a_mend_too() -> None:
    for error in (failed("starting shop.dev.churn", "oops"), build_failed("churn:1", "oops", "last line")):
        assert isinstance(error, EngineFailed)
        assert error.fix
