"""What the engine says in prose, in our words: whether a person has to act, and what mends it."""

from __future__ import annotations

import pytest

from gitops_ml.clients.engine_errors import failed
from gitops_ml.errors import Stalled

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
    assert "gateway.bind" in error.mend
