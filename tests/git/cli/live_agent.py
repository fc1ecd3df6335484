"""What an agent has seen: real passes over a simulated host, told to its status board."""

from __future__ import annotations

from gitops_ml.control.agent.passes import one_pass
from gitops_ml.control.agent.status_board import StatusBoard
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import TWO, serving_v1
from tests.unit.simulated_host import Host


def passes(board: StatusBoard, host: Host, version: str, count: int = 1) -> None:
    """Make passes that declare a version."""
    for _ in range(count):
        one_pass(host.declaring(wanted(version)), frozenset(), board.looked)


def failed_rollout(board: StatusBoard) -> Host:
    """A host that serves v1, after a rollout of v2 that failed."""
    host = serving_v1(NAME)
    host.verdicts[TWO] = "Failed"
    passes(board, host, "v1")
    passes(board, host, "v2", 4)
    return host
