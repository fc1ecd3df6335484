"""`serving/<model>/` in Git makes a model's own file servable, whether it was registered before or after."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from gitops_ml.clients.artifacts.resolution import resolve_at
from gitops_ml.clients.artifacts.servable import unservable
from gitops_ml.clients.artifacts.sidecar import MAX_BYTES
from gitops_ml.clients.artifacts.source import ModelSource, resolve_deployment
from gitops_ml.clients.edits.registration import register
from gitops_ml.clients.git.repository import Repository
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.generation import Generation, generation_of
from gitops_ml.errors import GitopsError, ModelRejected
from tests.git.conftest import commit_file, git
from tests.git.models.test_servable import WHOLE

SIDECAR = {name: text for name, text in WHOLE.items() if name != "model.skops"} | {
    "manifest.json": WHOLE["manifest.json"].replace("model.skops", "model.json")
}


def add_sidecar(project: Path, model: str = "in-git", **more: str) -> str:
    for name, text in (SIDECAR | more).items():
        commit_file(project, f"serving/{model}/{name}", text)
    git(project, "push", "-q")
    return git(project, "rev-parse", "HEAD")


def generation(repo: Repository, commit: str, model: str = "in-git", version: str = "v0.0.1") -> Generation:
    digest = resolve_at(repo, model, repo.resolve(f"{model}@{version}")).digest
    declared = Deployment(schema=1, model=model, version=version, digest=digest)
    resolved = resolve_deployment(repo, commit, model, declared)
    return generation_of(resolved, project="shop", commit=commit, base="base", serving_version=1)


def test_a_version_that_is_older_than_the_files_beside_it_is_served(repo: Repository, project: Path) -> None:
    register(repo, "in-git", push=True)
    before = git(project, "rev-parse", "HEAD")
    assert unservable(repo, resolve_at(repo, "in-git", before)), "nothing says yet how to serve it"
    commit = add_sidecar(project)
    repo.fetch()
    assert unservable(repo, resolve_at(repo, "in-git", before)) is None
    old, new = generation(repo, before), generation(repo, commit)
    assert old.sidecar is None and new.sidecar and new.sidecar.commit == commit
    assert old.fingerprint != new.fingerprint and old.image != new.image
    files = ModelSource(repo).artifact(new)
    assert files.keys() == SIDECAR.keys() | {"model.json"}
    assert json.loads(bytes(files["manifest.json"]))["file"] == "model.json"
    again = msgspec.json.decode(msgspec.json.encode(new), type=Generation)
    commit_file(project, "serving/in-git/manifest.json", "{}")
    assert ModelSource(repo).artifact(again) == files, "what a journal holds means the same for ever"


def test_only_another_content_of_the_folder_makes_another_generation(repo: Repository, project: Path) -> None:
    register(repo, "in-git", push=True)
    first = generation(repo, add_sidecar(project))
    commit_file(project, "unrelated.txt", "x")
    other = generation(repo, git(project, "rev-parse", "HEAD"))
    assert other.sidecar != first.sidecar and other.fingerprint == first.fingerprint
    commit_file(project, "serving/in-git/example.json", WHOLE["example.json"].replace("1.0", "2.0"))
    assert generation(repo, git(project, "rev-parse", "HEAD")).fingerprint != first.fingerprint


def test_the_files_of_the_versions_own_commit_count_before_those_of_the_declaring_one(
    repo: Repository, project: Path
) -> None:
    own = add_sidecar(project)
    register(repo, "in-git", push=True)
    commit_file(project, "serving/in-git/manifest.json", "{}")
    found = generation(repo, git(project, "rev-parse", "HEAD")).sidecar
    assert found and found.commit == own


def test_a_folder_with_a_manifest_of_its_own_is_served_as_it_is(repo: Repository, project: Path) -> None:
    for name, text in WHOLE.items():
        commit_file(project, f"plain/{name}", text)
    commit = add_sidecar(project, "git-folder")
    register(repo, "git-folder", push=True)
    assert generation(repo, commit, "git-folder").sidecar is None


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"model.json": "{}"}, "both hold model.json"),
        ({"notes.txt": "x" * (MAX_BYTES + 1)}, "notes.txt has 16,777,217 bytes"),
        ({"example.json": "{"}, "example.json is broken"),
    ],
)
def test_what_is_wrong_beside_the_model_is_said_at_register(
    repo: Repository, project: Path, more: dict[str, str], says: str
) -> None:
    commit = add_sidecar(project, **more)
    (warning,) = register(repo, "in-git", push=True).warnings
    assert says in warning
    if "example.json" not in more:
        with pytest.raises(ModelRejected, match=says):
            ModelSource(repo).artifact(generation(repo, commit))


def test_a_folder_that_is_not_what_was_declared_is_refused(repo: Repository, project: Path) -> None:
    register(repo, "in-git", push=True)
    found = generation(repo, add_sidecar(project))
    assert found.sidecar
    moved = msgspec.structs.replace(found, sidecar=msgspec.structs.replace(found.sidecar, digest="0" * 40))
    with pytest.raises(GitopsError, match="is not what was declared"):
        ModelSource(repo).artifact(moved)
