"""`init` writes into a repository that has Git and DVC, and overwrites nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.clients.files.environments import environment_names, read_environment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError
from tests.git.cli_clone import cli
from tests.git.conftest import git


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "Churn_Models"
    git(tmp_path, "init", "-q", "-b", "main", str(folder))
    (folder / ".dvc").mkdir()
    return folder


def test_what_init_writes_can_be_committed_and_read(work: Path) -> None:
    assert cli(work, "init").exit_code == 0
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "Begin")
    with Repository.open(work) as repo:
        assert environment_names(repo, repo.tip()) == ["dev", "prod", "staging"]
        prod = read_environment(repo, repo.tip(), "prod")
    assert (prod.project, prod.deployments, prod.broken) == ("churn-models", {}, {})
    assert prod.environment.promotion is not None
    assert (prod.environment.promotion.from_, prod.environment.gateway.port) == ("staging", 8083)


def test_the_name_is_chosen(work: Path) -> None:
    cli(work, "init", "--name", "fraud")
    assert "name: fraud\n" in (work / "environments/project.yaml").read_text()


def test_one_file_that_is_there_stops_all_of_it(work: Path) -> None:
    (work / "environments/prod").mkdir(parents=True)
    (work / "environments/prod/environment.yaml").write_text("mine")
    done = cli(work, "init")
    assert isinstance(done.exception, InputError)
    assert str(done.exception).startswith("environments/prod/environment.yaml exists already")
    assert [p.name for p in (work / "environments").rglob("*") if p.is_file()] == ["environment.yaml"]


@pytest.mark.parametrize(
    ("name", "said"), [("Churn", "`Churn` is not a project's name"), ("", "`` is not a project's name")]
)
def test_a_name_that_is_none(work: Path, name: str, said: str) -> None:
    assert said in str(cli(work, "init", "--name", name).exception)
    assert not (work / "environments").exists()


def test_without_dvc_it_says_what_to_do_first(work: Path) -> None:
    (work / ".dvc").rmdir()
    assert "fix: dvc init" in str(cli(work, "init").exception)
