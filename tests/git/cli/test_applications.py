"""Versions of an application: its image goes where its model's version goes, and its mapping with it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops_ml.artifacts.model_files import read_model_files
from gitops_ml.clients.artifacts.source import ModelSource, read_declared, resolve_deployment
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.generation import generation_of
from gitops_ml.errors import InputError, VersionMoved
from gitops_ml.retraining.versions import applications
from tests.git.cli_clone import answer, attempt, cli, finding, generation, publish, put_record, with_model, write
from tests.git.conftest import git

FIRST, SECOND = (f"shop@sha256:{digit * 64}" for digit in "12")
STAGING, PROD = (f"environments/{name}/models/churn.yaml" for name in ("staging", "prod"))
MANIFEST = '{"name": "churn", "inputs": [{"name": "age", "datatype": "FP64"}]}'
EXAMPLE = '{"inputs": [{"name": "age", "datatype": "FP64", "shape": [1], "data": [31]}]}'


def declaration(image: str, body: str, version: str = "v2.0.0", **more: Any) -> str:
    request = {"path": "/score", "body": {body: "${rows}"}}
    serve = {"pattern": "image", "image": image, "port": 8000, "request": request, "response": {"predict": "scores"}}
    return yaml.safe_dump({"schema": 1, "model": "churn", "version": version, "serve": serve} | more, sort_keys=False)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A clone whose staging and prod declare an application, with another mapping each."""
    work = with_model(tmp_path)
    write(work, "serving/churn/manifest.json", MANIFEST)
    write(work, "serving/churn/example.json", EXAMPLE)
    write(work, STAGING, declaration(SECOND, "clients"))
    write(work, PROD, declaration(FIRST, "customers", version="v1.0.0"))
    publish(work, "Declare an application")
    return work


def declared(work: Path, path: str) -> Any:
    return yaml.safe_load((work / path).read_text())


def test_a_bump_changes_version_digest_and_image_together(work: Path) -> None:
    assert answer(work, "bump", "prod", "churn", "v2.0.0", "--image", SECOND)["changed"]
    after = declared(work, PROD)
    assert (after["version"], after["serve"]["image"]) == ("v2.0.0", SECOND)
    assert after["digest"].startswith("md5:")
    assert after["serve"]["request"]["body"] == {"customers": "${rows}"}


@pytest.mark.parametrize("image", ["shop:latest", "shop", f"shop@sha256:{'1' * 63}"])
def test_an_image_without_its_digest_is_refused(work: Path, image: str) -> None:
    error = cli(work, "bump", "prod", "churn", "v2.0.0", "--image", image).exception
    assert isinstance(error, InputError) and "is no image by its digest" in str(error)
    assert git(work, "status", "--porcelain") == ""


def test_an_image_for_the_model_server_is_refused(work: Path) -> None:
    write(work, PROD, "schema: 1\nmodel: churn\nversion: v2.0.0\n")
    error = cli(work, "bump", "prod", "churn", "v2.0.0", "--image", SECOND).exception
    assert isinstance(error, InputError) and "only serve.pattern image reads" in str(error)


def test_a_promotion_takes_image_and_mapping_along(work: Path) -> None:
    serving = generation("v2.0.0", SECOND, git(work, "rev-parse", "HEAD"))
    put_record(work, "staging", serving, attempt(serving, age=timedelta(hours=2)))
    answer(work, "promote", "churn", "--to", "prod")
    assert declared(work, PROD) == declared(work, STAGING)


def test_what_the_version_holds_describes_the_application(work: Path) -> None:
    with Repository.open(work) as repo:
        commit = repo.resolve("HEAD")
        files = read_declared(repo, commit, "staging")
        resolved = resolve_deployment(repo, commit, "churn", files.deployments["churn"])
        made = generation_of(resolved, project="shop", commit=commit, base="", serving_version=1)
        assert (made.image, made.digest, made.path) == (SECOND, SECOND, "")
        assert made.artifact and made.artifact.path == "model.json" and made.artifact.sidecar
        read = read_model_files(ModelSource(repo).artifact(made))
        assert [tensor.name for tensor in read.manifest.inputs] == ["age"] and read.example
        assert ModelSource(repo).trained_on(made) == frozenset()


def test_another_description_is_another_generation(work: Path) -> None:
    def fingerprint() -> str:
        with Repository.open(work) as repo:
            commit = repo.resolve("HEAD")
            resolved = resolve_deployment(
                repo, commit, "churn", read_declared(repo, commit, "staging").deployments["churn"]
            )
            return generation_of(resolved, project="shop", commit=commit, base="", serving_version=1).fingerprint

    before = fingerprint()
    write(work, "notes.txt", "nothing of it")
    publish(work, "Note")
    assert fingerprint() == before
    write(work, "serving/churn/example.json", EXAMPLE.replace("31", "32"))
    publish(work, "Change the example")
    assert fingerprint() != before


def test_a_moved_tag_is_refused(work: Path) -> None:
    write(work, STAGING, declaration(SECOND, "clients", digest=f"md5:{'0' * 32}"))
    publish(work, "Pin")
    with Repository.open(work) as repo:
        commit = repo.resolve("HEAD")
        with pytest.raises(VersionMoved):
            resolve_deployment(repo, commit, "churn", read_declared(repo, commit, "staging").deployments["churn"])


def test_lint_says_what_is_wrong_with_a_mapping_and_where(work: Path) -> None:
    write(work, STAGING, declaration(SECOND, "clients").replace("${rows}", "'{{ rows | tojson }}'"))
    done = cli(work, "lint")
    assert done.exit_code == 1
    assert f"{STAGING}:8: serve.request" in done.stderr + done.stdout
    assert "is no template: write a whole text" in done.stderr + done.stdout


def test_lint_compares_the_request_with_the_inputs_in_the_work_tree(work: Path) -> None:
    assert cli(work, "lint").exit_code == 0
    write(work, "serving/churn/manifest.json", MANIFEST.replace("]}", ', {"name": "plan", "datatype": "BYTES"}]}'))
    assert cli(work, "lint").exit_code == 0
    write(work, STAGING, declaration(SECOND, "clients").replace("${rows}", "${rows[].[age]}"))
    done = cli(work, "lint")
    assert done.exit_code == 1
    assert "staging/churn: serve.request does not send plan" in done.stderr + done.stdout


def test_doctor_says_that_a_version_does_not_resolve(work: Path) -> None:
    write(work, STAGING, declaration(SECOND, "clients", version="v9.9.9"))
    publish(work, "Declare what is not there")
    assert finding(work, "staging/churn")["state"] == "missing"


def test_a_difference_finds_the_application_of_each_version_in_what_head_declares(work: Path) -> None:
    write(work, "environments/dev/environment.yaml", "schema: 1\ngateway: {port: 9103}\n")
    write(work, "environments/dev/models/churn.yaml", "schema: 1\nmodel: churn\nversion: v3.0.0\n")
    write(work, "environments/dev/models/broken.yaml", "schema: 1\nmodel:\n")
    publish(work, "Declare dev")
    git(work, "tag", "-a", "-m", "first", "churn@v1.0.0")
    git(work, "push", "-q", "origin", "churn@v1.0.0")
    with Repository.open(work) as repo:
        repo.fetch()
        found = applications(repo, "churn")
        images = {version: each.declaration.serve.image for version, each in found.items()}
        assert images == {"v1.0.0": FIRST, "v2.0.0": SECOND}
        assert applications(repo, "other") == {}
