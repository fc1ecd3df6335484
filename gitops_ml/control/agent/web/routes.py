"""What the agent answers, by path. Whatever else it shall show is added here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

from prometheus_client.core import Metric

from gitops_ml.control.agent.health import liveness, readiness
from gitops_ml.control.agent.loop import Agent
from gitops_ml.control.agent.replica_metrics import ReplicaMetrics
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.agent.web import model_metrics
from gitops_ml.control.agent.web.access import Access, Guard
from gitops_ml.control.agent.web.answers import Answer, Get, Question, json_answer
from gitops_ml.control.agent.web.hooks import PATH, Hooks
from gitops_ml.control.agent.web.metrics import Metrics
from gitops_ml.control.agent.web.page import LivePage
from gitops_ml.control.agent.web.server import HttpServer


def make_server(
    agent: Agent,
    address: tuple[str, int],
    ready_within: float,
    secret: bytes | None,
    page: LivePage | None = None,
    access: Access | None = None,
) -> HttpServer:
    """Make the server of an agent; it answers once it is started.

    Args:
        ready_within: how many seconds ago an environment's last good pass may have ended.
        secret: what forges sign hooks with; None takes no hooks. A hook needs no more than that.
        access: what any other request has to have.

    Raises `InputError` when the address cannot be listened at.
    """
    hooks = Hooks(secret, agent.fetch_soon) if secret else None
    answers = {
        **gets(agent.board, ready_within, hooks.families if hooks else lambda: ()),
        **model_metrics.gets(ReplicaMetrics(agent.board).read),
    }
    routes = [*([hooks.route] if hooks else []), *(page.routes() if page else [])]
    # The page answers for every other path, so it comes last.
    guard = partial(Guard, access=access or Access(), machines=answers.keys(), unguarded={PATH})
    return HttpServer(*address, {**answers, **(page.gets() if page else {})}, routes, guard)


def gets(
    board: StatusBoard, ready_within: float, more_metrics: Callable[[], Iterable[Metric]] = lambda: ()
) -> Mapping[str, Get]:
    """What is answered to GET requests, by path. `more_metrics`: see `Metrics`."""

    def healthz(_: Question) -> Answer:
        live = liveness(board.read(), board.now())
        return json_answer(live, 200 if live.alive else 503)

    def readyz(_: Question) -> Answer:
        ready = readiness(board.read(), board.now(), ready_within)
        return json_answer(ready, 200 if ready.ready else 503)

    return {"/healthz": healthz, "/readyz": readyz, "/metrics": Metrics(board, ready_within, more_metrics).answer}
