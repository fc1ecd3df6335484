"""Models under every name that DVC and GTO accept: registered, declared, resolved, and served from an image."""

from __future__ import annotations

from pathlib import Path

import pytest
from gto.api import describe
from gto.index import FileIndexManager

from gitops_ml.clients.artifacts.model_paths import declared_models
from gitops_ml.clients.artifacts.resolution import read, resolve_at
from gitops_ml.clients.artifacts.source import resolve_deployment
from gitops_ml.clients.edits.bump import BumpOptions, bump
from gitops_ml.clients.edits.edit import CommitOptions
from gitops_ml.clients.edits.registration import register
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.declaration.values import label_of
from gitops_ml.errors import GitopsError, InputError, VersionNotFound, VersionRefused
from tests.git.conftest import commit_file, git, run

ARTIFACTS = """\
artifacts:
  {name}: {{path: model.json, type: model}}
"""


@pytest.mark.parametrize("model", ["fraud_model", "FraudModel", "nlp/spam", "teams/risk:Score_2", "no"])
def test_a_model_of_any_name_is_deployed(repo: Repository, project: Path, model: str) -> None:
    folder, _, name = model.rpartition(":")
    commit_file(project, f"{folder}/model.json" if folder else "model.json", "{}\n")
    commit_file(project, f"{folder}/dvc.yaml" if folder else "dvc.yaml", ARTIFACTS.format(name=name))
    commit_file(project, "environments/dev/environment.yaml", "schema: 1\n")
    git(project, "push", "-q")
    registered = register(repo, model, push=True)
    assert run(project, "gto", "check-ref", registered.tag, "--name").splitlines()[-1] == model
    label = label_of(model)
    written = bump(
        repo, "dev", label, "latest", BumpOptions(model, create=True), options=CommitOptions(push=True)
    ).written
    assert written.file == f"environments/dev/models/{label}.yaml"
    tip = repo.fetch()
    declared = parse(repo.read_file(tip, written.file) or b"", written.file, Deployment)
    resolved = resolve_deployment(repo, tip, label, declared)
    assert (declared.model, resolved.revision) == (model, registered.resolved.commit)
    again = bump(repo, "dev", label, "latest")
    assert (again.resolved.model, again.written.changed) == (model, False)


def annotate(project: Path, name: str, path: str) -> None:
    """Name a path in artifacts.yaml, as `gto annotate` of GTO before 1.0 does, and commit the file."""
    FileIndexManager.from_path(str(project)).add(
        name,
        type="model",
        path=path,
        must_exist=False,
        allow_same_path=True,
        labels=[],
        description="",
        custom=None,
        update=False,
    )
    commit_file(project, "artifacts.yaml", (project / "artifacts.yaml").read_text(), f"Annotate {name}")


@pytest.mark.parametrize("with_pipeline", [True, False])
def test_a_model_of_an_older_gto_is_found(repo: Repository, project: Path, with_pipeline: bool) -> None:
    annotate(project, "nlp/older", "plain/model.json")
    annotate(project, "single", "plain/model.json")
    if not with_pipeline:
        git(project, "rm", "-q", "dvc.yaml", "dvc.lock")
        git(project, "commit", "-qm", "No pipeline")
    git(project, "push", "-q")
    tag = register(repo, "nlp/older", push=True).tag
    commit = repo.resolve(tag)
    resolved = resolve_at(repo, "nlp/older", commit)
    theirs = describe(str(project), "nlp/older", rev=commit)
    assert theirs is not None and resolved.path == theirs.path
    assert read(repo, resolved) == {"model.json": (project / "plain" / "model.json").read_bytes()}
    # What dvc.yaml declares has precedence.
    path = "model.txt" if with_pipeline else "plain/model.json"
    assert resolve_at(repo, "single", commit).path == path == declared_models(repo, commit)["single"]
    assert declared_models(repo, commit)["nlp/older"] == "plain/model.json"


@pytest.mark.parametrize(
    ("text", "model", "kind", "says"),
    [
        ("older: {path: plain}\n", "oldr", VersionNotFound, "did you mean older"),
        ("older: {path: plain}\n", "folder:older", VersionNotFound, "no folder/dvc.yaml"),
        ("older: {type: model}\n", "older", InputError, "artifacts.yaml: older has no path"),
        ("older: {path: 's3://bucket/m'}\n", "older", VersionRefused, "older of artifacts.yaml.*external"),
        ("[a, list]\n", "older", InputError, "artifacts.yaml:1"),
    ],
)
def test_a_model_that_artifacts_yaml_does_not_give_is_explained(
    repo: Repository, project: Path, text: str, model: str, kind: type[GitopsError], says: str
) -> None:
    commit = commit_file(project, "artifacts.yaml", text)
    with pytest.raises(kind, match=f"(?s){says}"):
        resolve_at(repo, model, commit)
    assert resolve_at(repo, "single", commit).path == "model.txt" == declared_models(repo, commit)["single"]
