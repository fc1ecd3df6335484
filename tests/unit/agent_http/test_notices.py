"""What people are told, and what they are not: real passes over a simulated host, seen through the board."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from gitops_ml.control.agent.notices import LASTS, STEADY, Notice, Notices
from gitops_ml.control.agent.status_board import AgentStatus, StatusBoard
from gitops_ml.control.agent.turns import Trouble
from gitops_ml.control.backoff import ENVIRONMENT
from gitops_ml.control.environment.view import Options
from gitops_ml.errors import EngineUnavailable
from tests.unit.agent_http.live_agent import board_of_dev, passes
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import TWO, serving_v1

LOST = {ENVIRONMENT: Trouble(EngineUnavailable("the engine does not answer"), 3, 0.0)}


class Told:
    """What is told at each second, of a board that is handed in."""

    def __init__(self, remind: float = 3600.0) -> None:
        self.notices = Notices(remind)
        self.now = 0.0

    def for_seconds(self, seconds: float, board: StatusBoard | AgentStatus) -> list[Notice]:
        """The messages of so many turns, a second apart."""
        status = board.read() if isinstance(board, StatusBoard) else board
        messages = []
        for _ in range(int(seconds)):
            messages += self.notices.turn(status, self.now)
            self.now += 1.0
        return messages

    def titles(self, seconds: float, board: StatusBoard | AgentStatus) -> list[str]:
        return [notice.title for notice in self.for_seconds(seconds, board)]


def lost(board: StatusBoard, trouble: dict[str, Trouble] = LOST) -> AgentStatus:
    """What the board shows while this fails in dev."""
    status = board.read()
    return replace(status, environments={"dev": replace(status.environments["dev"], trouble=trouble)})


def standing(board: StatusBoard, health: str) -> AgentStatus:
    """What the board shows while its deployment has this health."""
    status = board.read()
    dev = status.environments["dev"]
    assert dev.view is not None
    statuses = tuple(msgspec.structs.replace(each, health=health) for each in dev.view.plan.statuses)
    view = replace(dev.view, plan=msgspec.structs.replace(dev.view.plan, statuses=statuses))
    return replace(status, environments={"dev": replace(dev, view=view)})


def serving_board() -> StatusBoard:
    board = board_of_dev()
    passes(board, serving_v1(NAME), "v1")
    return board


def test_an_agent_where_all_is_well_tells_nothing() -> None:
    assert Told().for_seconds(5000, serving_board()) == []


def test_trouble_is_told_once_then_reminded_of_and_its_end_is_told() -> None:
    told, board = Told(remind=600.0), serving_board()
    assert told.titles(100, lost(board)) == ["shop: dev Error"]
    reminders = told.for_seconds(1200, lost(board))
    assert [notice.title for notice in reminders] == ["shop: dev still Error"] * 2
    assert reminders[0].body == "for 10 m 10 s\nthe engine does not answer"
    assert [(n.kind, n.title, n.body) for n in told.for_seconds(100, board)] == [
        ("success", "shop: dev recovered", "It was Error for 21 m 39 s.")
    ]


def test_trouble_that_is_over_at_once_is_not_told() -> None:
    told, board = Told(), serving_board()
    assert told.titles(LASTS - 1, lost(board)) == []
    assert told.titles(1000, board) == []


def test_trouble_that_comes_and_goes_is_one_trouble() -> None:
    told, board = Told(), serving_board()
    titles = []
    for _ in range(20):
        titles += told.titles(5, lost(board)) + told.titles(STEADY - 5, board)
    assert titles == ["shop: dev Error"]
    assert told.titles(STEADY + 5, board) == ["shop: dev recovered"]


@pytest.mark.parametrize("every", [6, 15])
def test_a_replica_that_ends_again_and_again_is_one_trouble(every: int) -> None:
    told, board = Told(remind=3600.0), serving_board()
    titles = []
    for number in range(600 // every):
        titles += told.titles(every, standing(board, "Degraded" if number % 2 else "Missing"))
    assert sorted(title.split()[-1] for title in titles) in (["Degraded", "Missing"], ["Missing"], ["Degraded"])


def test_a_deployment_that_is_removed_has_not_recovered() -> None:
    told, board = Told(), serving_board()
    degraded = standing(board, "Degraded")
    assert told.titles(100, degraded) == ["shop: dev/churn Degraded"]
    dev = degraded.environments["dev"]
    assert dev.view is not None
    gone = replace(dev.view, plan=msgspec.structs.replace(dev.view.plan, statuses=()))
    assert told.titles(100, replace(degraded, environments={"dev": replace(dev, view=gone)})) == []


def test_an_engine_that_is_lost_is_no_news_of_its_deployments() -> None:
    told, board = Told(), serving_board()
    churn = {"churn": Trouble(EngineUnavailable("its image cannot be built"), 3, 0.0)}
    assert told.titles(20, lost(board, churn)) == ["shop: dev/churn Error"]
    assert told.titles(100, lost(board)) == ["shop: dev Error"]
    assert told.titles(100, lost(board, churn)) == ["shop: dev recovered"]


def test_a_promotion_is_told_at_once() -> None:
    told, board, host = Told(), board_of_dev(), serving_v1(NAME)
    passes(board, host, "v1")
    assert told.titles(1, board) == []
    passes(board, host, "v2", 4)
    notices = told.for_seconds(100, board)
    assert [(notice.kind, notice.title) for notice in notices] == [("success", f"shop: dev/{NAME} v2 Verified")]
    assert notices[0].body.startswith("It replaced v1, ")


def test_a_failed_rollout_is_told_with_what_decided_and_later_reminded_of() -> None:
    told, board, host = Told(remind=600.0), board_of_dev(), serving_v1(NAME)
    passes(board, host, "v1")
    told.for_seconds(1, board)
    host.verdicts[TWO] = "Failed"
    passes(board, host, "v2", 4)
    notices = told.for_seconds(100, board)
    assert [(notice.kind, notice.title) for notice in notices] == [("failure", f"shop: dev/{NAME} v2 Failed")]
    ended, *reasons = notices[0].body.splitlines()
    assert ended.startswith("v1 goes on serving") and reasons
    assert told.titles(601, board) == [f"shop: dev/{NAME} verification still Failed"]


def test_what_settled_before_the_agent_began_is_not_told() -> None:
    board, host = board_of_dev(), serving_v1(NAME)
    passes(board, host, "v1")
    passes(board, host, "v2", 4)
    assert Told().titles(100, board) == []


def test_a_remote_that_cannot_be_read_is_told() -> None:
    board = serving_board()
    board.fetched("", "the remote does not answer")
    told = Told().for_seconds(100, board)
    assert [(n.kind, n.title, n.body) for n in told] == [
        ("failure", "shop: the Git remote Error", "the remote does not answer")
    ]


def test_a_replica_that_is_gone_is_told_with_how_many_answer() -> None:
    board, host = board_of_dev(), serving_v1(NAME)
    (replica,) = host.replicas(NAME)
    host.kill(replica.id)
    board.looked(host.declaring(wanted("v1")).look(Options()))
    (notice,) = Told().for_seconds(100, board)
    assert (notice.kind, notice.title) == ("failure", f"shop: dev/{NAME} Missing")
    assert notice.body.startswith("0 of 1 replicas answer")


def test_a_declaration_that_cannot_be_read_is_told() -> None:
    board, host = board_of_dev(), serving_v1(NAME)
    environment = host.declaring()
    environment.broken = {NAME: "replicas: expected int, got str"}
    board.looked(environment.look(Options()))
    (notice,) = Told().for_seconds(100, board)
    assert (notice.title, notice.body) == (f"shop: dev/{NAME} Broken", "replicas: expected int, got str")


def test_an_environment_that_is_no_longer_kept_has_not_recovered() -> None:
    told, board = Told(), serving_board()
    churn = {"churn": Trouble(EngineUnavailable("its image cannot be built"), 3, 0.0)}
    told.titles(20, lost(board, churn))
    board.dropped("dev")
    assert told.titles(100, board) == []
