"""Fixtures of the tests that follow a team through a workflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.adopting import Team


@pytest.fixture
def team(tmp_path: Path, scratch_project: Callable[[], str]) -> Callable[[str], Team]:
    return lambda example: Team(tmp_path, scratch_project(), example)
