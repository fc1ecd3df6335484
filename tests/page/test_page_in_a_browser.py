"""The page in a real Chromium, from disk: dark and light, on a desk and a telephone, by keyboard, by axe's rules."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from gitops_ml.cli.site.folder import write_site
from gitops_ml.page import names
from gitops_ml.page.render import pages
from tests.unit.page.examples import HISTORY, site

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed; setup/services brings one")

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
    write_site(folder, pages(site()))
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root, as which CI often runs.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> list[str]:
    """What the browser reported: messages of the console, errors, and requests that are not for a file."""
    return []


def note_request(url: str, troubles: list[str]) -> None:
    """Note a request that is for no file of the site."""
    if not url.startswith(("file:", "data:")):
        troubles.append(url)


def opened(
    browser: Browser, troubles: list[str], *, width: int, scheme: Literal["dark", "light"], scripts: bool = True
) -> Page:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=scripts, java_script_enabled=scripts
    )
    page = context.new_page()
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: note_request(request.url, troubles))
    return page


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
    page.wait_for_url("**/staging/churn/index.html")
    page.go_back()
    page.get_by_role("row", name="delay").get_by_role("link", name="in staging").click()
    assert page.get_by_role("heading", level=1).inner_text() == "delay in staging"
    page.get_by_role("link", name=HISTORY[1].version).click()
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
