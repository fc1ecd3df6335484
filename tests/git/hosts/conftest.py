"""A fleet of hosts in memory, with a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.control.environment import last_good
from gitops_ml.control.environment import target as target_module
from tests.git.hosts.simulated import Fleet


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    for module in (target_module, last_good):
        monkeypatch.setattr(module, "observe", lambda engine, files, cache: engine.snapshot())
    made = Fleet(tmp_path / "clone")
    made.begin()
    return made
