"""Fixtures of the end-to-end tests: a workshop whose project is removed from the engine afterwards."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.engine.building.model_images import ensure_runtime
from gitops_ml.clients.engine.client import Engine
from gitops_ml.serving.building.requirements import read_lock, with_server
from tests.e2e.workshop import ROOT, Workshop


@pytest.fixture(scope="session", autouse=True)
def runtime() -> None:
    """The runtime image of the worked example, built once before parallel tests need it."""
    with (Path(tempfile.gettempdir()) / "gitops-ml-runtime.lock").open("w") as lock, Engine.connect(None) as engine:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pins = read_lock((ROOT / "requirements" / "serving.txt").read_bytes())
        ensure_runtime(engine, with_server(pins))


@pytest.fixture
def workshop(tmp_path: Path, scratch_project: Callable[[], str]) -> Workshop:
    """A clone with a bare remote."""
    return Workshop(tmp_path, scratch_project())


@pytest.fixture
def lone_workshop(tmp_path: Path, scratch_project: Callable[[], str]) -> Workshop:
    """A repository without a remote."""
    return Workshop(tmp_path, scratch_project(), remote=False)
