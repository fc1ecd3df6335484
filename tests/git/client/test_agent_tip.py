"""What the agent takes for the tip: the fetched one, and in an outage the one that was fetched last."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.agent.passes import last_fetched, read_tip
from gitops_ml.errors import SourceError, SourceUnavailable
from tests.git.conftest import commit_file, git


def declare(project: Path, environment: str) -> str:
    """Declare an environment and push it, and return the commit."""
    commit = commit_file(project, f"environments/{environment}/environment.yaml", "schema: 1\n")
    git(project, "push", "-q", "origin", "HEAD:main")
    return commit


def move_remote_away(project: Path) -> None:
    (project.parent / "origin.git").rename(project.parent / "away.git")


def test_the_environments_of_the_fetched_tip_are_read(project: Path) -> None:
    declare(project, "dev")
    commit = declare(project, "prod")
    tip = read_tip(project)
    assert (tip.commit, tip.environments, tip.outage) == (commit, ("dev", "prod"), None)


def test_in_an_outage_the_tip_that_was_fetched_last_stays(project: Path) -> None:
    commit = declare(project, "dev")
    read_tip(project)
    move_remote_away(project)
    tip = read_tip(project)
    assert (tip.commit, tip.environments) == (commit, ("dev",))
    assert isinstance(tip.outage, SourceUnavailable)


def test_without_any_fetched_commit_an_outage_is_an_error(project: Path) -> None:
    move_remote_away(project)
    git(project, "update-ref", "-d", "refs/remotes/origin/main")
    with pytest.raises(SourceUnavailable, match="could not be fetched"):
        read_tip(project)


def test_a_folder_without_a_repository_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        read_tip(tmp_path)


def test_another_reader_of_the_clone_sees_what_was_fetched(project: Path) -> None:
    before = declare(project, "dev")
    read_tip(project)
    with Repository.open(project) as reader:
        assert last_fetched(reader) == before
        after = declare(project, "prod")
        read_tip(project)
        assert last_fetched(reader) == after


def test_a_commit_that_changes_records_alone_is_told_from_others(project: Path) -> None:
    declare(project, "dev")
    first = read_tip(project)
    for path in ("environments/dev/records/churn.yaml", "environments/dev/records/leeds/churn.yaml"):
        commit_file(project, path, "schema: 1\n")
        git(project, "push", "-q", "origin", "HEAD:main")
        recorded = read_tip(project)
        assert recorded.commit != first.commit and recorded.differs_in_records_alone(first)
        first = recorded
    for path in ("environments/dev/models/churn.yaml", "train.py", "records/notes.md", "environments/records"):
        commit_file(project, "environments/dev/records/churn.yaml", f"schema: 1  # {path}\n")
        commit_file(project, path, "schema: 1\n")
        git(project, "push", "-q", "origin", "HEAD:main")
        assert not read_tip(project).differs_in_records_alone(first), path
        first = read_tip(project)
    git(project, "commit", "-q", "--allow-empty", "-m", "Try again")
    git(project, "push", "-q", "origin", "HEAD:main")
    assert not read_tip(project).differs_in_records_alone(first)
