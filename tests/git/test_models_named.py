"""Models under every name that DVC and GTO accept: registered, declared, resolved, and served from an image."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.source import resolve
from gitops_ml.clients.edits.edit import CommitOptions
from gitops_ml.clients.edits.registration import bump, register
from gitops_ml.clients.files.yaml_read import parse
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.declaration.values import label_of
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
    git(project, "push", "-q")
    registered = register(repo, model, push=True)
    assert run(project, "gto", "check-ref", registered.tag, "--name").splitlines()[-1] == model
    label = label_of(model)
    written = bump(repo, "dev", label, "latest", model=model, create=True, options=CommitOptions(push=True)).written
    assert written.file == f"environments/dev/models/{label}.yaml"
    tip = repo.fetch()
    declared = parse(repo.read_file(tip, written.file) or b"", written.file, Deployment)
    resolved = resolve(repo, tip, label, declared)
    assert (declared.model, resolved.revision) == (model, registered.resolved.commit)
    again = bump(repo, "dev", label, "latest")
    assert (again.resolved.model, again.written.changed) == (model, False)
