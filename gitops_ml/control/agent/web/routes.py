"""What the agent answers to GET requests, by path. Whatever else it shall show is added here."""

from __future__ import annotations

from collections.abc import Mapping

from gitops_ml.control.agent.health import liveness, readiness
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.agent.web.answers import Answer, Get, Question, json_answer
from gitops_ml.control.agent.web.metrics import Metrics


def gets(board: StatusBoard, ready_within: float) -> Mapping[str, Get]:
    """The agent's answers.

    Args:
        ready_within: how many seconds ago an environment's last good pass may have ended.
    """

    def healthz(_: Question) -> Answer:
        live = liveness(board.read(), board.now())
        return json_answer(live, 200 if live.alive else 503)

    def readyz(_: Question) -> Answer:
        ready = readiness(board.read(), board.now(), ready_within)
        return json_answer(ready, 200 if ready.ready else 503)

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": Metrics(board, ready_within).answer}
