"""Opens pages in a browser that tells what goes wrong in them."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page


def opened(
    browser: Browser,
    troubles: list[str],
    *,
    width: int = 1280,
    scheme: Literal["dark", "light"] = "light",
    scripts: bool = True,
    strict: bool = False,
) -> Page:
    """A page in a context of its own; close the context after it.

    Args:
        troubles: receives what the browser reports.
        strict: keep the page's own content security policy. axe cannot run under it.
    """
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        bypass_csp=scripts and not strict,
        java_script_enabled=scripts,
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda request: note_request(request.url, troubles))
    return page


def note_request(url: str, troubles: list[str]) -> None:
    """Note a request that is neither for a file nor for this machine."""
    parts = urlsplit(url)
    if parts.scheme not in ("file", "data") and parts.hostname != "127.0.0.1":
        troubles.append(url)
