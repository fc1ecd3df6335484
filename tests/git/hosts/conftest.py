"""A fleet of hosts in memory, with a real repository."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops_ml.control.environment import last_good, targets
from gitops_ml.control.environment import target as target_module
from tests.git.conftest import environment
from tests.git.hosts.simulated import Fleet, codes


@pytest.fixture(scope="package", autouse=True)
def _hosts_in_memory() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patched:
        for module in (target_module, last_good):
            patched.setattr(module, "observe", lambda engine, files, cache: engine.snapshot())
        patched.setattr(targets, "require_free_port", lambda *_: None)
        yield


@pytest.fixture
def fleet(tmp_path: Path) -> Fleet:
    """No host yet, and nothing declared."""
    made = Fleet(tmp_path / "fleet" / "clone")
    made.begin()
    return made


@pytest.fixture(scope="package")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Fleet:
    folder = tmp_path_factory.mktemp("hosts")
    with pytest.MonkeyPatch.context() as patched:
        for key, value in environment(folder).items():
            patched.setenv(key, value)
        made = Fleet(folder / "fleet" / "clone")
        made.begin()
        made.run_on("leeds", "york", "hull")
        made.declare("v1.0.0")
        assert set(codes(made.sync()).values()) == {0}
    return made


@pytest.fixture
def serving(prepared: Fleet, tmp_path: Path) -> Fleet:
    """Three hosts that serve v1.0.0."""
    return prepared.copy(tmp_path / "fleet")
