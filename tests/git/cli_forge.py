"""A clone whose remote has the address of a forge, and that forge on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.git.conftest import git
from tests.unit.clients.forge.server import PREFIX, TOKEN, LocalForge, served


@contextmanager
def served_forge(monkeypatch: pytest.MonkeyPatch, pulls: dict[str, int]) -> Iterator[LocalForge]:
    """The forge with these open pull requests, by branch; the variables name it, and its token."""
    with served(LocalForge(kind="gitea", pulls=pulls)) as local:
        monkeypatch.setenv("GITOPS_ML_FORGE", f"gitea={local.url}{PREFIX}")
        monkeypatch.setenv("GITOPS_ML_FORGE_TOKEN", TOKEN)
        for name in ("GITHUB_REF", "CI_MERGE_REQUEST_IID"):
            monkeypatch.delenv(name, raising=False)
        yield local
    assert local.violations == []


def address(work: Path) -> None:
    """Give the remote the address of a forge for people; Git itself goes on to use the folder."""
    git(work, "config", f"url.{work.parent}/remote.git.insteadOf", "https://code.example.org/acme/shop.git")
    git(work, "remote", "set-url", "origin", "https://code.example.org/acme/shop.git")
