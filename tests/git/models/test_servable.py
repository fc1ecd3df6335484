"""A bare model file, or a folder that lacks files: said at register, bump and doctor, all of it, before any image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitops_ml.cli.doctor import clone as doctor
from gitops_ml.clients.artifacts.resolution import resolve_at
from gitops_ml.clients.artifacts.servable import unservable
from gitops_ml.clients.edits.bump import BumpOptions, bump
from gitops_ml.clients.edits.registration import register
from gitops_ml.clients.git.repository import Repository
from tests.git.conftest import commit_file, git

MANIFEST = {
    "schema": 1,
    "name": "m",
    "format": "skops",
    "file": "model.skops",
    "inputs": [{"name": "x", "datatype": "FP64", "shape": [-1]}],
    "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
}
EXAMPLE = {"inputs": [{"name": "x", "datatype": "FP64", "shape": [1], "data": [1.0]}]}
WHOLE = {
    "manifest.json": json.dumps(MANIFEST),
    "example.json": json.dumps(EXAMPLE),
    "requirements.txt": f"numpy==2.0.0 --hash=sha256:{'0' * 64}\n",
    "model.skops": "x",
}
ALL = "manifest.json, example.json and requirements.txt"


def test_a_bare_file_is_said_at_register_bump_and_doctor(repo: Repository, project: Path) -> None:
    commit_file(project, "environments/project.yaml", "schema: 1\nname: shop\n")
    commit_file(project, "environments/dev/environment.yaml", "schema: 1\ngateway: {port: 8080}\n")
    git(project, "push", "-q")
    registered = register(repo, "in-git", push=True)
    (warning,) = registered.warnings
    assert warning.startswith("plain/model.json is one file") and f"the folder holds {ALL}" in warning
    edit = bump(repo, "dev", "in-git", "latest", BumpOptions(create=True))
    assert edit.warnings == [warning]
    git(project, "add", "-A")
    git(project, "commit", "-qm", "Deploy it")
    git(project, "push", "-q")
    repo.fetch()
    findings, _ = doctor.declared(repo, "dev")
    (finding,) = [f for f in findings if f.what == "dev/in-git"]
    assert finding.state == "missing" and ALL in finding.said and "docs/serving.md" in finding.fix
    file = project / "environments" / "dev" / "models" / "in-git.yaml"
    image = "serve: {pattern: image, image: 'x@sha256:%s', port: 80}\n" % ("a" * 64)
    commit_file(project, str(file.relative_to(project)), file.read_text() + image)
    assert bump(repo, "dev", "in-git", "latest").warnings == []


@pytest.mark.parametrize(
    ("without", "says"),
    [
        ([], None),
        (["example.json"], "plain lacks example.json"),
        (["manifest.json", "requirements.txt"], "plain lacks manifest.json and requirements.txt"),
        (
            ["example.json", "requirements.txt", "model.skops"],
            "plain lacks example.json, requirements.txt and model.skops",
        ),
    ],
)
def test_all_that_a_folder_lacks_is_said_at_once(
    repo: Repository, project: Path, without: list[str], says: str | None
) -> None:
    for name, text in WHOLE.items():
        if name not in without:
            commit_file(project, f"plain/{name}", text)
    lacking = unservable(repo, resolve_at(repo, "git-folder", repo.resolve("HEAD")))
    assert (lacking.what if lacking else None) == says


def test_broken_files_are_said_beside_the_absent_ones_and_at_register(repo: Repository, project: Path) -> None:
    broken = {"example.json": '{"inputs": []}', "requirements.txt": "--index-url there\nnumpy\n", "manifest.json": "{}"}
    for name, text in broken.items():
        commit_file(project, f"plain/{name}", text)
    lacking = unservable(repo, resolve_at(repo, "git-folder", repo.resolve("HEAD")))
    assert lacking and lacking.what == (
        "the model's manifest.json is broken, and the model's example.json is broken, "
        "and the model's requirements.txt is not a lock"
    )
    assert "manifest.json: Object missing required field" in lacking.why
    assert "example.json: `inputs` is empty" in lacking.why and "line 2: 'numpy'" in lacking.why
    assert "uv pip compile --generate-hashes" in lacking.fix
    commit_file(project, "plain/manifest.json", WHOLE["manifest.json"])
    commit_file(project, "plain/example.json", WHOLE["example.json"])
    git(project, "push", "-q")
    (warning,) = register(repo, "git-folder", push=True).warnings
    assert warning.startswith("plain lacks model.skops, and the model's requirements.txt is not a lock")


def test_an_example_beyond_its_limit(repo: Repository, project: Path) -> None:
    for name, text in WHOLE.items():
        commit_file(project, f"plain/{name}", text + " " * (17 << 20) if name == "example.json" else text)
    lacking = unservable(repo, resolve_at(repo, "git-folder", repo.resolve("HEAD")))
    assert lacking and lacking.what == "the model's example.json is broken" and "are allowed" in lacking.why


def test_a_folder_of_dvc_s_and_a_broken_manifest(repo: Repository, project: Path) -> None:
    lacking = unservable(repo, resolve_at(repo, "flight-delay", repo.tip()))
    assert lacking and "manifest.json is broken" in lacking.what
    inside = unservable(repo, resolve_at(repo, "inside", repo.tip()))
    assert inside and inside.what == f"models/flight-delay/code lacks {ALL}"


def test_what_only_the_server_would_refuse_is_said_before(repo: Repository, project: Path) -> None:
    for name, text in WHOLE.items():
        commit_file(project, f"plain/{name}", text)
    commit_file(project, "plain/manifest.json", json.dumps(MANIFEST | {"format": "skop", "taks": "regression"}))
    commit_file(project, "plain/example.json", json.dumps(EXAMPLE).replace('"x"', '"y"'))
    lacking = unservable(repo, resolve_at(repo, "git-folder", git(project, "rev-parse", "HEAD")))
    assert lacking and "`format` is 'skop'" in lacking.why and "unknown field `taks`" in lacking.why
    commit_file(project, "plain/manifest.json", WHOLE["manifest.json"])
    lacking = unservable(repo, resolve_at(repo, "git-folder", git(project, "rev-parse", "HEAD")))
    assert lacking and "unknown input 'y'; the model takes 'x'" in lacking.why
