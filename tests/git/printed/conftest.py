"""The clone in which printed commands are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.git.cli_clone import with_model


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return with_model(tmp_path)
