"""Models are found in repositories as teams laid them out, and what adopts them overwrites nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops_ml.adoption.adopt import Adopted
from gitops_ml.adoption.candidates import Candidate, data_files, find_candidates, tracked
from gitops_ml.adoption.pinned import pinned_versions
from gitops_ml.adoption.writing import plan_of, write
from gitops_ml.artifacts.manifest import parse_manifest
from gitops_ml.cli.adoption_result import AdoptionResult
from gitops_ml.clients.artifacts.resolution import resolve_at, resolve_version
from gitops_ml.clients.git.repository import Repository
from gitops_ml.errors import InputError, VersionNotFound
from tests.git.conftest import git

MANIFEST: dict[str, Any] = {
    "schema": 1,
    "name": "churn",
    "format": "joblib",
    "file": "model.pkl",
    "python": "3.11",
    "inputs": [{"name": "age", "datatype": "FP64", "shape": [-1]}],
    "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
}


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """An empty repository of a team."""
    folder = tmp_path / "shop-models"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


def committed(folder: Path, **files: str) -> Repository:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "As the team has it", "--allow-empty")
    return Repository.open(folder)


def found(folder: Path, *asked: str, name: str | None = None, **files: str) -> list[Candidate]:
    repo = committed(folder, **files)
    head = repo.resolve("HEAD")
    return find_candidates(repo, head, tracked(repo, head), asked, name)


def dvc_file(path: str) -> str:
    return f"outs:\n- md5: {'a' * 32}\n  size: 3\n  hash: md5\n  path: {path}\n"


def lock(**outs: str) -> str:
    listed = [{"path": path, "hash": "md5", "md5": "b" * 32, "size": 3} for path in outs.values()]
    return yaml.safe_dump({"schema": "2.0", "stages": {"train": {"cmd": "x", "outs": listed}}})


def stage(out: str) -> str:
    return yaml.safe_dump({"stages": {"train": {"cmd": "x", "outs": [out]}}})


def test_models_of_git_of_dvc_files_and_of_stages_are_found(team: Path) -> None:
    models = found(
        team,
        **{
            "models/churn.pkl": "x",
            "models/price.joblib.dvc": dvc_file("price.joblib"),
            "dvc.yaml": stage("models/late/model.skops"),
            "dvc.lock": lock(model="models/late/model.skops"),
            "data/train.csv": "a\n1\n",
            "metrics.json": "{}",
            "requirements.txt": "numpy\n",
        },
    )
    assert [(model.path, model.name) for model in models] == [
        ("models/churn.pkl", "churn"),
        ("models/late/model.skops", "late"),
        ("models/price.joblib", "price"),
    ]
    assert not any(model.declared for model in models)


def test_what_is_under_artifacts_counts_alone_and_keeps_its_name(team: Path) -> None:
    models = found(
        team,
        **{
            "models/a.pkl": "x",
            "models/b.pkl": "x",
            "dvc.yaml": "artifacts: {sentiment: {path: models/a.pkl, type: model}, rows: {path: d.csv}}\n",
            "d.csv": "a\n",
        },
    )
    assert [(model.model, model.path, model.declared) for model in models] == [("sentiment", "models/a.pkl", True)]


def test_a_monorepo_names_each_model_after_its_pipelines_folder(team: Path) -> None:
    models = found(
        team,
        **{
            "fraud/dvc.yaml": "artifacts: {scorer: {path: model.pkl}}\n",
            "fraud/model.pkl": "x",
            "price/dvc.yaml": "stages: {}\n",
            "price/out/model.onnx": "x",
        },
    )
    assert [model.model for model in models] == ["fraud:scorer"], "declared ones count alone"
    (asked,) = found(team, "price/out/model.onnx", **{"n": "1"})
    assert (asked.model, asked.folder) == ("price:price", "price")


def test_an_entry_that_is_no_mapping_is_left_out(team: Path) -> None:
    text = "artifacts: {odd: model.pkl, scorer: {path: model.pkl}}\n"
    models = found(team, **{"fraud/dvc.yaml": text, "fraud/model.pkl": "x"})
    assert [model.model for model in models] == ["fraud:scorer"]


def test_an_mlflow_folder_is_one_model(team: Path) -> None:
    models = found(team, **{"out/iris/MLmodel": "flavors: {}\n", "out/iris/model.pkl": "x", "out/iris/conda.yaml": "x"})
    assert [(model.path, model.name) for model in models] == [("out/iris", "iris")]


def test_a_name_that_says_nothing_becomes_that_of_the_repository(team: Path) -> None:
    assert [model.name for model in found(team, **{"model.pkl": "x"})] == ["shop-models"]
    assert [model.name for model in found(team, name="churn")] == ["churn"]


def test_two_models_of_one_name_get_longer_ones(team: Path) -> None:
    models = found(team, **{"eu/churn.pkl": "x", "us/churn.pkl": "x"})
    assert [model.name for model in models] == ["eu-churn", "us-churn"]


@pytest.mark.parametrize(
    ("asked", "name", "said"),
    [
        (("modle.pkl",), None, "model.pkl"),
        (("absent",), None, "neither a model under artifacts"),
        (("model.pkl",), "My Model", "--name my-model"),
        (("model.pkl", "b.pkl"), "one", "names one model"),
    ],
)
def test_what_cannot_be_meant_is_refused(team: Path, asked: tuple[str, ...], name: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        found(team, *asked, name=name, **{"model.pkl": "x", "b.pkl": "x"})


def test_data_near_the_model_and_of_training_is_looked_at_first(team: Path) -> None:
    repo = committed(
        team,
        **{
            "a/data/test.csv": "x",
            "a/data/train.csv": "x",
            "b/train.csv": "x",
            "a/metrics.csv": "x",
            "data.dvc": f"outs:\n- md5: {'c' * 32}.dir\n  path: data\n",
        },
    )
    files = data_files(tracked(repo, repo.resolve("HEAD")), "a/model.pkl")
    assert files[:2] == ["a/data/train.csv", "a/data/test.csv"]
    assert files.index("a/metrics.csv") < files.index("b/train.csv") and "data" in files


PINS = {
    "requirements.txt": "scikit-learn==1.5.2\n--index-url https://pypi.example.org/simple\n-e .\npandas>=2\n",
    "requirements/train.txt": "scikit_learn==1.5.2\n",
    "uv.lock": '[[package]]\nname = "scikit-learn"\nversion = "1.5.2"\n',
    "poetry.lock": '[[package]]\nname = "scikit-learn"\nversion = "1.5.2"\n',
    "pdm.lock": '[[package]]\nname = "scikit-learn"\nversion = "1.5.2"\n',
    "pylock.toml": '[[packages]]\nname = "scikit-learn"\nversion = "1.5.2"\n',
    "Pipfile.lock": json.dumps({"default": {"scikit-learn": {"version": "==1.5.2"}}}),
    "environment.yml": "dependencies: [python=3.11, scikit-learn=1.5.2=h123, {pip: [flask==3.0.0]}]\n",
}


@pytest.mark.parametrize("file", PINS)
def test_the_files_in_which_teams_pin_are_read(team: Path, file: str) -> None:
    repo = committed(team, **{file: PINS[file]})
    assert pinned_versions(repo, repo.resolve("HEAD"), "models/churn")["scikit-learn"] == ("1.5.2", file)


@pytest.mark.parametrize("file", [name for name in PINS if not name.endswith(".txt")])
def test_a_broken_lock_pins_nothing(team: Path, file: str) -> None:
    repo = committed(team, **{file: "\x00]][[: {", "requirements.txt": "numpy==2.0.0\n"})
    assert pinned_versions(repo, repo.resolve("HEAD"), "") == {"numpy": ("2.0.0", "requirements.txt")}


def test_a_nearer_file_wins_and_a_lock_wins_over_requirements(team: Path) -> None:
    repo = committed(
        team,
        **{
            "requirements.txt": "numpy==1.0\npandas==1.0\n",
            "fraud/requirements.txt": "numpy==2.0\n",
            "fraud/uv.lock": '[[package]]\nname = "numpy"\nversion = "3.0"\n',
        },
    )
    pins = pinned_versions(repo, repo.resolve("HEAD"), "fraud")
    assert pins == {"numpy": ("3.0", "fraud/uv.lock"), "pandas": ("1.0", "requirements.txt")}


def adopted(**more: Any) -> Adopted:
    manifest = json.dumps(MANIFEST | more).encode()
    files = {"serving/churn/manifest.json": manifest, "serving/churn/example.json": b"{}"}
    return Adopted(Candidate("models/churn.pkl", "churn", "", False), parse_manifest(manifest), files)


def test_a_second_run_overwrites_nothing_and_says_what_it_would_write(team: Path) -> None:
    repo = committed(team, **{"models/churn.pkl": "x"})
    first = plan_of(repo, [adopted()], {"environments/project.yaml": b"name: x\n"})
    assert {file.path: file.state for file in first} == dict.fromkeys(
        ["serving/churn/manifest.json", "serving/churn/example.json", "environments/project.yaml", "dvc.yaml"], "new"
    )
    assert sorted(write(team, first)) == sorted(file.path for file in first)
    assert {file.state for file in plan_of(repo, [adopted()], {})} == {"same"}
    (team / "serving/churn/example.json").write_text("mine")
    again = plan_of(repo, [adopted(task="classification")], {})
    states = {file.path: (file.state, list(file.differs)) for file in again}
    assert states["serving/churn/manifest.json"] == ("kept", ["task"])
    assert states["serving/churn/example.json"] == ("kept", [])
    write(team, again)
    assert (team / "serving/churn/example.json").read_text() == "mine"


def test_the_model_is_declared_in_the_dvc_yaml_that_is_there(team: Path) -> None:
    text = "# ours\nstages:\n  train: {cmd: python train.py, outs: [models/churn.pkl]}\n"
    repo = committed(team, **{"models/churn.pkl": "x", "dvc.yaml": text})
    (planned,) = [file for file in plan_of(repo, [adopted()], {}) if file.path == "dvc.yaml"]
    assert planned.state == "edited" and planned.content.decode().startswith(text)
    write(team, [planned])
    repo = committed(team)
    git(team, "tag", "-a", "-m", "x", "churn@v1.0.0")
    assert resolve_version(repo, "churn", "v1.0.0", local=True).path == "models/churn.pkl"


def test_a_path_that_yaml_would_read_as_something_else_is_quoted(team: Path) -> None:
    repo = committed(team, **{"models/a # b.pkl": "x"})
    (planned,) = plan_of(repo, [replace(adopted(), candidate=Candidate("models/a # b.pkl", "churn", "", False))], {})[
        -1:
    ]
    write(team, [planned])
    assert planned.content.decode().startswith("artifacts:\n  churn:\n    path: ")
    committed(team)
    assert resolve_at(Repository.open(team), "churn", git(team, "rev-parse", "HEAD")).path == "models/a # b.pkl"


def test_a_tag_that_is_older_than_the_models_name_holds_what_its_commit_has_there(team: Path) -> None:
    repo = committed(team, **{"models/churn.pkl": "old"})
    git(team, "tag", "-a", "-m", "x", "churn@v1.0.0")
    with pytest.raises(VersionNotFound, match="not declared"):
        resolve_version(repo, "churn", "v1.0.0", local=True)
    repo = committed(team, **{"dvc.yaml": "artifacts: {churn: {path: models/churn.pkl}}", "models/churn.pkl": "new"})
    old = resolve_version(repo, "churn", "v1.0.0", local=True)
    assert old.digest == f"md5:{hashlib.md5(b'old').hexdigest()}"
    git(team, "rm", "-q", "dvc.yaml")
    repo = committed(team)
    again = resolve_version(repo, "churn", "v1.0.0", local=True, declared_at=repo.resolve("HEAD~1"))
    assert again.digest == old.digest, "the declaring commit says it, whatever HEAD is"


@pytest.mark.parametrize("environment", ["dev", "live"])
def test_the_first_version_goes_where_nothing_is_promoted_to(team: Path, environment: str) -> None:
    repo = committed(
        team,
        **{
            "models/churn.pkl": "x",
            "environments/project.yaml": "schema: 1\nname: shop\n",
            f"environments/{environment}/environment.yaml": "schema: 1\ngateway: {port: 8081}\n",
            "environments/also/environment.yaml": (
                f"schema: 1\ngateway: {{port: 8082}}\npromotion: {{from: {environment}}}\n"
            ),
        },
    )
    *_, bump = AdoptionResult([adopted()], [], []).next_commands(repo, dry_run=False)
    assert bump == f"gitops-ml bump {environment} churn latest --create --allow-pickle --commit"
