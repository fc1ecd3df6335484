"""The agent's page over real sockets: drawn from the last look, told when it changes, and never for another path."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops_ml.clients.files.records import write_record
from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.agent.turns import Trouble
from gitops_ml.control.agent.web import page as page_module
from gitops_ml.control.agent.web.page import LivePage
from gitops_ml.control.agent.web.routes import gets
from gitops_ml.control.agent.web.server import HttpServer
from gitops_ml.control.backoff import ENVIRONMENT
from gitops_ml.core.records.record import record_path
from gitops_ml.errors import EngineUnavailable
from gitops_ml.page.facts import Origin
from tests.git.conftest import commit_file, git
from tests.unit.agent_http.live_agent import board_of_dev, failed_rollout, passes
from tests.unit.builders import NAME
from tests.unit.page.examples import HISTORY, recorded
from tests.unit.page.test_pages import read

PAGE = f"/dev/{NAME}/index.html"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q", "-b", "main", str(tmp_path / "clone"))
    commit_file(tmp_path / "clone", "README", "")
    return tmp_path / "clone"


@pytest.fixture
def board() -> StatusBoard:
    return board_of_dev()


@pytest.fixture
def server(board: StatusBoard, clone: Path) -> Iterator[HttpServer]:
    page = LivePage(board, clone, lambda repo, facts: (Origin("Container", f"of {facts.name}"),))
    server = HttpServer("127.0.0.1", 0, {**gets(board, 600.0), **page.gets()}, page.routes())
    server.start()
    yield server
    server.close()


def ask(server: HttpServer, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body, {name.lower(): value for name, value in response.getheaders()}


def test_the_page_says_what_the_plan_says(server: HttpServer, board: StatusBoard) -> None:
    failed_rollout(board)
    view = board.read().environments["dev"].view
    assert view
    (status,) = view.plan.statuses
    code, body, headers = ask(server, "/")
    assert code == 200 and headers["content-type"] == "text/html; charset=utf-8"
    (cell,) = read(body).all("td", **{"data-environment": "dev", "data-deployment": NAME})
    for word in (status.version, status.sync, status.health, status.verification):
        assert word in cell.words


def test_a_verdict_that_is_not_in_git_yet_has_its_attempt(server: HttpServer, board: StatusBoard) -> None:
    failed_rollout(board)
    _, body, _ = ask(server, PAGE)
    items = read(body).all("ol", class_="timeline")[0].all("li")
    assert items[0].words.startswith("v2") and "Failed" in items[0].words
    attempt = items[0].all("a")[0].attributes["href"] or ""
    assert ask(server, f"/dev/{NAME}/{attempt.rsplit('/', 1)[1]}")[0] == 200


def test_before_the_first_look_it_says_so(server: HttpServer) -> None:
    assert "no look has ended yet" in read(ask(server, "/")[1]).words


def test_before_the_first_look_it_shows_what_the_records_say(
    server: HttpServer, board: StatusBoard, clone: Path
) -> None:
    commit_file(clone, "environments/project.yaml", "schema: 1\nname: shop\n")
    commit_file(clone, "environments/dev/environment.yaml", "schema: 1\ngateway: {port: 8081}\n")
    commit_file(clone, record_path("dev", "delay"), write_record(recorded(HISTORY[:3])).decode())
    board.fetched(git(clone, "rev-parse", "HEAD").strip(), "")
    board.ended("dev", {ENVIRONMENT: Trouble(EngineUnavailable("the engine is away"), 1, 0.0)}, succeeded=False)
    root = read(ask(server, "/")[1])
    assert "the engine is away" in root.words
    (cell,) = root.all("td", **{"data-environment": "dev", "data-deployment": "delay"})
    assert HISTORY[0].version in cell.words and "Healthy" not in cell.words


def test_trouble_of_the_agent_is_on_the_page(server: HttpServer, board: StatusBoard) -> None:
    failed_rollout(board)
    board.ended("dev", {ENVIRONMENT: Trouble(EngineUnavailable("the engine <went>"), 1, 0.0)}, succeeded=False)
    board.fetched("", "the remote is away")
    words = read(ask(server, "/")[1]).words
    assert "the engine <went>" in words and "Git cannot be read: the remote is away" in words
    assert "host answers" not in words


def test_a_client_that_has_the_page_gets_nothing_again(server: HttpServer, board: StatusBoard) -> None:
    host = failed_rollout(board)
    tag = ask(server, PAGE)[2]["etag"]
    assert ask(server, PAGE, If_None_Match=tag)[:2] == (304, "")
    host.verdicts.clear()
    passes(board, host, "v3", 4)
    code, body, headers = ask(server, PAGE, If_None_Match=tag)
    assert code == 200 and headers["etag"] != tag and "v3" in body


@pytest.mark.parametrize(
    "path", ["/nothing", "/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/dev/", "/dev//index.html"]
)
def test_no_other_path_is_answered(server: HttpServer, board: StatusBoard, path: str) -> None:
    failed_rollout(board)
    code, body, _ = ask(server, path)
    assert code == 404 and "root:" not in body


def test_a_folder_is_its_index(server: HttpServer, board: StatusBoard) -> None:
    failed_rollout(board)
    assert ask(server, f"/dev/{NAME}/")[1] == ask(server, PAGE)[1]


def test_the_lineage_is_traced_when_it_is_asked_for(server: HttpServer, board: StatusBoard) -> None:
    failed_rollout(board)
    assert f"of {NAME}" in ask(server, f"/dev/{NAME}/lineage.html")[1]


def test_what_pages_need_is_served_and_guarded(server: HttpServer) -> None:
    assert ask(server, "/style.css")[2]["content-type"].startswith("text/css")
    assert ask(server, "/live.js")[2]["content-type"].startswith("text/javascript")
    policy = ask(server, "/")[2]["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert ask(server, "/healthz")[0] == 200


def test_a_change_is_told_within_a_second(server: HttpServer, board: StatusBoard) -> None:
    host = failed_rollout(board)
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request("GET", "/events")
    stream = connection.getresponse()
    assert stream.getheader("content-type") == "text/event-stream; charset=utf-8"
    assert [stream.readline() for _ in range(3)] == [b"event: changed\n", b"data: 1\n", b"\n"]
    began = time.monotonic()
    passes(board, host, "v2")
    assert stream.readline() == b"event: changed\n"
    assert time.monotonic() - began < 1
    connection.close()


def test_only_so_many_follow(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "MOST_STREAMS", 0)
    assert ask(server, "/events")[0] == 503
