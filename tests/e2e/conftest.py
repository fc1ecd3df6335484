"""What end-to-end tests share: a workshop under a project name that is removed from the engine afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.workshop import Workshop


@pytest.fixture
def workshop(tmp_path: Path, scratch_project: Callable[[], str]) -> Workshop:
    """A clone with a bare remote."""
    return Workshop(tmp_path, scratch_project())


@pytest.fixture
def lone_workshop(tmp_path: Path, scratch_project: Callable[[], str]) -> Workshop:
    """A repository without a remote."""
    return Workshop(tmp_path, scratch_project(), remote=False)
