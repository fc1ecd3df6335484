"""A model inside an application that is built from the repository: which commit's files are meant."""

from __future__ import annotations

import io
import tarfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops_ml.clients.artifacts.source import ModelSource, read_declared, resolve_deployment
from gitops_ml.clients.files.applications import restored_build
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import ResolvedDeployment
from gitops_ml.core.records.record import RecordedGeneration
from gitops_ml.errors import GitopsError, InputError
from tests.git.cli_clone import answer, attempt, cli, generation, publish, put_record, with_model, write
from tests.git.conftest import git

STAGING, PROD = (f"environments/{name}/models/churn.yaml" for name in ("staging", "prod"))
SERVE: dict[str, Any] = {"pattern": "embed", "build": {"context": "shop"}, "model_path": "/model", "port": 8000}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A clone whose staging and prod declare a model inside the same application."""
    work = with_model(tmp_path)
    write(work, "shop/Dockerfile", "FROM scratch\n")
    write(work, "shop/bin/start", "#!/bin/sh\n")
    (work / "shop/bin/start").chmod(0o755)
    (work / "shop/start").symlink_to("bin/start")
    text = yaml.safe_dump({"schema": 1, "model": "churn", "version": "v2.0.0", "serve": SERVE}, sort_keys=False)
    write(work, STAGING, text)
    write(work, PROD, text)
    publish(work, "Declare an application")
    return work


def declared(work: Path, path: str) -> Any:
    return yaml.safe_load((work / path).read_text())


def resolved(work: Path, environment: str = "staging") -> ResolvedDeployment:
    with Repository.open(work) as repo:
        commit = repo.resolve("HEAD")
        return resolve_deployment(repo, commit, "churn", read_declared(repo, commit, environment).deployments["churn"])


def change_shop(work: Path, text: str = "FROM scratch\nLABEL a=b\n") -> str:
    write(work, "shop/Dockerfile", text)
    return publish(work, "Change the shop")


def served(work: Path, commit: str) -> RecordedGeneration:
    digest = resolved(work).digest
    return generation("v2.0.0", digest, commit, fingerprint=f"{commit:.12}")


def test_the_application_is_built_from_what_git_holds_in_the_folder(work: Path) -> None:
    write(work, "shop/untracked", "no")
    application = resolved(work).application
    assert application
    with (
        Repository.open(work) as repo,
        tarfile.open(fileobj=io.BytesIO(ModelSource(repo).build_context(application))) as tar,
    ):
        entries = {entry.name: entry for entry in tar}
    assert sorted(entries) == ["Dockerfile", "bin", "bin/start", "start"]
    assert (entries["bin"].isdir(), entries["bin"].mode) == (True, 0o755)
    assert (entries["bin/start"].mode, entries["Dockerfile"].mode) == (0o755, 0o644)
    assert entries["start"].issym() and entries["start"].linkname == "bin/start"


def test_a_context_without_a_dockerfile_is_refused_with_its_path(work: Path) -> None:
    git(work, "rm", "-q", "shop/Dockerfile")
    publish(work, "Remove")
    with pytest.raises(InputError, match="has no shop/Dockerfile"):
        resolved(work)


def test_a_promotion_takes_the_application_that_was_verified_along_for_good(work: Path) -> None:
    verified = git(work, "rev-parse", "HEAD")
    judged = served(work, verified)
    change_shop(work)
    put_record(work, "staging", judged, attempt(judged, age=timedelta(hours=2)))
    answer(work, "promote", "churn", "--to", "prod")
    assert declared(work, PROD)["serve"]["build"] == {"context": "shop", "dockerfile": "Dockerfile", "commit": verified}
    publish(work, "Promote")
    before = resolved(work, "prod").content
    change_shop(work, "FROM scratch\nLABEL a=c\n")
    assert resolved(work, "prod").content == before != resolved(work).content


def test_a_rollback_goes_back_to_an_older_application_and_not_to_the_same(work: Path) -> None:
    first = served(work, git(work, "rev-parse", "HEAD"))
    second = served(work, change_shop(work))
    attempts = [attempt(second, age=timedelta(hours=1)), attempt(first, age=timedelta(hours=2))]
    put_record(work, "staging", second, *attempts)
    answer(work, "rollback", "staging", "churn")
    assert declared(work, STAGING)["serve"]["build"]["commit"] == first.commit
    publish(work, "Roll back")
    write(work, STAGING, git(work, "show", f"{second.commit}:{STAGING}"))
    write(work, "shop/Dockerfile", "FROM scratch\n")
    publish(work, "Bring back the first application by hand")
    put_record(work, "staging", first, attempts[1])
    assert isinstance(cli(work, "rollback", "staging", "churn").exception, GitopsError), "it is what is declared"


def test_an_application_that_has_not_changed_is_not_pinned(work: Path) -> None:
    before, then = git(work, "rev-parse", "HEAD"), resolved(work).declaration
    write(work, "notes.txt", "nothing of it")
    after = publish(work, "Note")
    with Repository.open(work) as repo:
        assert restored_build(repo, then, before, then, after) == then
        changed = change_shop(work)
        restored = restored_build(repo, then, before, then, changed)
    assert restored.serve.build and restored.serve.build.commit == before


def test_an_image_is_bumped_only_where_nothing_is_built(work: Path) -> None:
    image = f"shop@sha256:{'1' * 64}"
    error = cli(work, "bump", "prod", "churn", "v2.0.0", "--image", image).exception
    assert isinstance(error, InputError) and "without `build:`" in str(error)
    by_image = {"pattern": "embed", "image": f"shop@sha256:{'2' * 64}", "model_path": "/model", "port": 8000}
    write(work, PROD, yaml.safe_dump({"schema": 1, "model": "churn", "version": "v2.0.0", "serve": by_image}))
    publish(work, "Declare an image")
    assert answer(work, "bump", "prod", "churn", "v2.0.0", "--image", image)["changed"]
    assert declared(work, PROD)["serve"]["image"] == image and declared(work, PROD)["digest"].startswith("md5:")
