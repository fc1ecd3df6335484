"""Where each page is: paths that no name in Git can lead out of the folder, and that are equal on every file system."""

from __future__ import annotations

import hashlib
import re

STYLE = "style.css"
SCRIPT = "live.js"
"""Follows what happens, on the page of an agent. Static pages have none."""
EVENTS = "events"
"""Where an agent tells that something has changed."""
OVERVIEW = "index.html"
DELIVERY = "delivery.html"
_SAFE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


def file_name(text: str) -> str:
    """A name as part of a path: itself if it is a plain lower-case word, else a digest of it.

    Records are files that anybody may have edited, so an attempt's id can be any text.
    """
    return text if _SAFE.fullmatch(text) else "_" + hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24]


def deployment_page(environment: str, deployment: str) -> str:
    """The path of a deployment's page."""
    return f"{file_name(environment)}/{file_name(deployment)}/index.html"


def lineage_page(environment: str, deployment: str) -> str:
    """The path of a deployment's lineage."""
    return f"{file_name(environment)}/{file_name(deployment)}/lineage.html"


def attempt_page(environment: str, deployment: str, attempt: str) -> str:
    """The path of an attempt's page."""
    return f"{file_name(environment)}/{file_name(deployment)}/attempt-{file_name(attempt)}.html"


def root_of(path: str) -> str:
    """The way from a page back to the folder that holds all of them, such as `../../`."""
    return "../" * path.count("/")
