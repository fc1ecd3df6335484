"""Deployments that serve, and a canary that its users find bad."""

from __future__ import annotations

from tests.unit.builders import wanted
from tests.unit.simulated_host import Host, SimulatedEnvironment

OTHER = "other"
TWO, THREE = "2" * 12, "3" * 12


def serving_v1(*names: str) -> Host:
    host = Host()
    host.settle(*(wanted("v1", name) for name in names))
    return host


def bad_canary(*beside: str) -> tuple[Host, SimulatedEnvironment]:
    """A canary that its users find bad is declared, beside what else is declared."""
    host = serving_v1(OTHER, *beside)
    host.traffic[TWO] = "Failed"
    return host, host.declaring(wanted("v2", OTHER, strategy="canary"), *(wanted("v3", name) for name in beside))
