"""Waiting for a container on an engine that is slow to answer."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from gitops_ml.clients.engine.address import Address
from gitops_ml.clients.engine.client import Engine


class SlowEngine:
    """An engine that never answers `wait` in time, and knows the state of one container."""

    def __init__(self, state: dict[str, Any]) -> None:
        self.state = state

    def wait(self, container: str, timeout: float) -> dict[str, int]:
        raise requests.ConnectionError(f"no answer within {timeout} s")

    def inspect_container(self, container: str) -> dict[str, Any]:
        return {"State": self.state}


@pytest.mark.parametrize(
    ("state", "code"),
    [
        ({"Status": "exited", "ExitCode": 3}, 3),
        ({"Status": "dead", "ExitCode": 0}, 0),
        ({"Status": "running", "ExitCode": 0}, None),
    ],
)
def test_an_ended_container_is_noticed_although_waiting_takes_too_long(state: dict[str, Any], code: int | None) -> None:
    assert Engine(SlowEngine(state), Address("unix:///nowhere", "a test")).wait("probe", 0.1) == code
