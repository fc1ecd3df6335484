"""What an agent has seen: real passes over a simulated host, told to its status board."""

from __future__ import annotations

import time

from gitops_ml.control.agent.passes import one_pass
from gitops_ml.control.agent.status_board import StatusBoard
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import TWO, serving_v1
from tests.unit.simulated_host import Host


def board_of_dev() -> StatusBoard:
    """The board of an agent that has read Git, and has taken up dev."""
    board = StatusBoard(time.monotonic)
    board.fetched("a" * 40, "")
    board.took_up("dev")
    return board


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
