"""A real Chromium for the tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright


# Not for the whole session: while it is open, Playwright's event loop counts as running in this thread, and other tests
# could not run theirs.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, or Google's browser; a skip without either."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium is installed; setup/services brings one")
    with sync_playwright() as playwright:
        # Chromium's own sandbox does not start as root, as which CI often runs.
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def troubles() -> list[str]:
    """What the browser reported: messages of the console, errors, and requests to other hosts."""
    return []
