"""The page of an agent in a real Chromium: it follows a change, keeps the focus, and obeys its policy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from gitops_ml.control.agent.status_board import StatusBoard
from gitops_ml.control.agent.web.page import LivePage
from gitops_ml.control.agent.web.server import HttpServer
from tests.git.conftest import commit_file, git
from tests.page.browsers import opened
from tests.unit.agent_http.live_agent import board_of_dev, failed_rollout, passes
from tests.unit.builders import NAME


@pytest.fixture
def board() -> StatusBoard:
    return board_of_dev()


@pytest.fixture
def address(board: StatusBoard, tmp_path: Path) -> Iterator[str]:
    git(tmp_path, "init", "-q", "-b", "main", str(tmp_path / "clone"))
    commit_file(tmp_path / "clone", "README", "")
    page = LivePage(board, tmp_path / "clone", lambda repo, facts: ())
    server = HttpServer("127.0.0.1", 0, page.gets(), page.routes())
    server.start()
    yield f"http://{server.address}"
    server.close()


def test_the_page_follows_a_change(browser: Browser, troubles: list[str], board: StatusBoard, address: str) -> None:
    host = failed_rollout(board)
    page = opened(browser, troubles, strict=True)
    page.goto(address)
    cell = page.locator(f'[data-deployment="{NAME}"]')
    expect(cell).to_contain_text("Failed")
    page.get_by_role("link", name="Delivery").focus()
    host.verdicts.clear()
    began = time.monotonic()
    passes(board, host, "v3", 4)
    expect(cell).to_contain_text("v3")
    assert time.monotonic() - began < 2, "a change is shown within about a second"
    expect(cell).to_contain_text("Verified")
    expect(page.get_by_role("link", name="Delivery")).to_be_focused()
    page.context.close()
    assert troubles == []


def test_it_can_be_read_without_scripts(
    browser: Browser, troubles: list[str], board: StatusBoard, address: str
) -> None:
    failed_rollout(board)
    page = opened(browser, troubles, scripts=False)
    page.goto(address)
    page.get_by_role("link", name=f"{NAME} in dev").click()
    page.locator("ol.timeline").get_by_role("link").first.click()
    assert page.get_by_role("heading", level=1).inner_text().startswith("v2")
    page.context.close()
    assert troubles == []
