"""Tags are pushed and read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, PushRejected
from tests.git.conftest import git

Clone = Callable[[str], Path]


def test_tags_are_pushed_and_read_back(repo: Repository, project: Path) -> None:
    repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    repo.push_tag("flight-delay@v2.0.0")
    bare = project.parent / "origin.git"
    assert git(bare, "cat-file", "-t", "flight-delay@v2.0.0") == "tag"
    assert "flight-delay@v2.0.0" in {t.name for t in repo.tags()}
    with pytest.raises(InputError, match="could not be made"):
        repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    with pytest.raises(InputError, match="no name"):
        repo.create_tag("two..dots", repo.tip(), "Register")


def test_a_tag_that_the_remote_has_otherwise_is_rejected(repo: Repository, other: Clone) -> None:
    bob = other("bob")
    git(bob, "tag", "-a", "-m", "theirs", "flight-delay@v2.0.0", "HEAD~1")
    git(bob, "push", "-q", "origin", "flight-delay@v2.0.0")
    repo.create_tag("flight-delay@v2.0.0", repo.tip(), "Register")
    with pytest.raises(PushRejected, match="another tag"):
        repo.push_tag("flight-delay@v2.0.0")
