"""The traceback of an error that no code expected is shown, and not in the message for the user."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from gitops_ml.cli import render
from gitops_ml.control.boundary import as_gitops_error


@pytest.fixture
def lines() -> Iterator[list[str]]:
    logger, before = logging.getLogger("gitops_ml"), list(logging.getLogger("gitops_ml").handlers)
    shown: list[str] = []
    render.print_log(shown.append)
    yield shown
    logger.handlers[:] = before


def test_an_unforeseen_error_is_shown_with_its_traceback(lines: list[str]) -> None:
    try:
        raise KeyError("versions")
    except KeyError as error:
        message = str(as_gitops_error(error, "dev/churn"))
    assert "Traceback" in lines[0] and "test_log.py" in lines[0] and "dev/churn" in lines[0]
    assert "KeyError: 'versions'" in message and "Traceback (" not in message
