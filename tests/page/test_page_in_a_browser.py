"""The page in a real Chromium, from disk: dark and light, on a desk and a telephone, by keyboard, by axe's rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from gitops_ml.cli.site.folder import write_site
from gitops_ml.page import names
from gitops_ml.page.render import pages
from tests.page.browsers import opened
from tests.unit.page.examples import HISTORY, site, trace

KINDS = {
    "overview": names.OVERVIEW,
    "delivery": names.DELIVERY,
    "deployment": names.deployment_page("staging", "delay"),
    "lineage": names.lineage_page("staging", "delay"),
    "verified attempt": names.attempt_page("dev", "delay", HISTORY[0].id),
    "failed attempt": names.attempt_page("dev", "delay", HISTORY[1].id),
    "failed canary": names.attempt_page("dev", "delay", HISTORY[2].id),
}
DARK = ("overview", "lineage", "verified attempt", "failed canary")
"""The kinds that axe looks at in the dark; it looks at the others in the light. All kinds share one style sheet."""
RULES: Any = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"], "preload": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "site"
    write_site(folder, pages(site(), trace))
    return folder


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
def test_every_kind_of_page_keeps_the_rules(
    browser: Browser, folder: Path, troubles: list[str], width: int, scheme: Literal["dark", "light"]
) -> None:
    page = opened(browser, troubles, width=width, scheme=scheme)
    for kind, path in KINDS.items():
        page.goto((folder / path).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{kind} scrolls sideways"
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(background[4:].split(",")[0]) < 128) == (scheme == "dark"), "the style sheet is not in force"
        if (kind in DARK) != (scheme == "dark"):
            continue
        found = Axe().run(page, options=RULES).response["violations"]
        assert [(rule["id"], [node["html"] for node in rule["nodes"]][:3]) for rule in found] == [], kind
    page.context.close()
    assert troubles == []


def test_it_works_without_scripts_and_by_keyboard(browser: Browser, folder: Path, troubles: list[str]) -> None:
    page = opened(browser, troubles, width=1280, scheme="light", scripts=False)
    page.goto((folder / names.OVERVIEW).as_uri())
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_url("**/dev/churn/index.html")
    page.go_back()
    page.get_by_role("row", name="delay").get_by_role("link", name="in staging").click()
    assert page.get_by_role("heading", level=1).inner_text() == "delay in staging"
    page.locator("ol.timeline").get_by_role("link").first.click()
    page.get_by_text("Figures of holdout log_loss").click()
    assert page.get_by_role("row", name="max drop").inner_text().split("\t")[-1].strip() == "0.02"
    page.context.close()
    assert troubles == []


def test_the_states_are_those_of_status(browser: Browser, folder: Path, troubles: list[str]) -> None:
    """The cells as a screen reader gets them; a layout for telephones must not take the table's roles away."""
    for width in (1280, 360):
        page = opened(browser, troubles, width=width, scheme="light")
        page.goto((folder / names.OVERVIEW).as_uri())
        assert page.get_by_role("columnheader").count() == 1 + len(site().environments)
        for facts in site().deployments:
            if facts.status:
                where = f'[data-environment="{facts.environment}"][data-deployment="{facts.name}"]'
                cell = page.get_by_role("cell").and_(page.locator(where))
                states = [text.strip() for text in cell.locator(".state").all_inner_texts()]
                held = ["On hold"] if facts.status.hold else []
                assert states == [facts.status.sync, facts.status.health, facts.status.verification, *held]
        page.context.close()
