"""Held-out rows are counted once, and only existing data that is too small refuses a rollout."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gitops_ml.clients.artifacts.path_digests import resolve_path
from gitops_ml.clients.artifacts.source import ModelSource
from gitops_ml.clients.git.repository import Repository
from gitops_ml.clients.rows import holdout_counts
from gitops_ml.clients.rows.holdout_counts import require_enough
from gitops_ml.core.declaration.schema import Deployment, ResolvedDeployment
from gitops_ml.errors import InputError, ObjectMissing

PATH = "rows.csv"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with 40 rows of 5 days."""
    for key in [k for k in os.environ if k.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@example.org")
    (tmp_path / PATH).write_text("x,y,day\n" + "".join(f"{n},{n % 2},{n % 5}\n" for n in range(40)))
    for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def resolved(repo: Repository, **holdout: Any) -> ResolvedDeployment:
    spec = {"data": PATH, "metrics": {"roc_auc": {"min": 0.5}}} | holdout
    content = {"schema": 1, "model": "churn", "version": "v1", "verify": {"holdout": spec}}
    digest = resolve_path(repo, repo.tip(), PATH).digest
    declared = msgspec.convert(content, Deployment)
    return ResolvedDeployment(name="churn", declaration=declared, digest="", revision="", path="", holdout=digest)


def test_too_few_groups_are_refused(folder: Path) -> None:
    with Repository.open(folder) as repo, pytest.raises(InputError) as caught:
        require_enough(repo, repo.tip(), resolved(repo, group="day"))
    assert caught.value.what == "churn: rows.csv holds 5 groups of `day`"
    assert "fewer than 10" in caught.value.why and caught.value.fix


def test_enough_rows_are_counted_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Repository.open(folder) as repo:
        require_enough(repo, repo.tip(), resolved(repo))
        monkeypatch.setattr(ModelSource, "data", None)
        require_enough(repo, repo.tip(), resolved(repo))
        assert (repo.git_dir / holdout_counts._FILE).stat().st_size < 200


def test_a_group_that_is_no_column_is_refused(folder: Path) -> None:
    with Repository.open(folder) as repo, pytest.raises(InputError, match="the nearest is `day`"):
        require_enough(repo, repo.tip(), resolved(repo, group="days"))


def test_missing_data_does_not_stop_a_plan(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: object) -> bytes:
        raise ObjectMissing("rows.csv is in no cache and no remote")

    monkeypatch.setattr(ModelSource, "data", missing)
    with Repository.open(folder) as repo:
        require_enough(repo, repo.tip(), resolved(repo, group="day"))
