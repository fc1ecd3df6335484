"""A repository in real Git that declares one model, for tests of how desired state is read."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gitops_ml.clients.artifacts.source import read_declared
from gitops_ml.clients.git.repository import Repository
from gitops_ml.control.environment.observe import read_source
from gitops_ml.core.declaration.schema import Desired

MD5 = "0123456789abcdef0123456789abcdef"
MODEL = "schema: 1\nmodel: churn\nversion: v1.0.0\n"
FILES = {
    "environments/project.yaml": "schema: 1\nname: shop\n",
    "environments/dev/environment.yaml": "schema: 1\ngateway: {port: 8081}\n",
    "dvc.yaml": "stages:\n  train: {cmd: train, outs: [models/churn]}\nartifacts:\n  churn: {path: models/churn}\n",
    "dvc.lock": "schema: '2.0'\nstages:\n  train:\n    cmd: train\n    outs:\n"
    f"    - {{path: models/churn, md5: {MD5}.dir, size: 1, nfiles: 1}}\n",
    "data/rows.csv.dvc": f"outs:\n- {{md5: {MD5}, size: 1, path: rows.csv}}\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that declares a project, an environment and a model `churn`, with a version v1.0.0."""
    for key in [k for k in os.environ if k.startswith("GIT_")]:
        monkeypatch.delenv(key)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "ada@example.org")
    git(tmp_path, "init", "-q", "-b", "main")
    write(tmp_path, FILES)
    git(tmp_path, "tag", "-a", "-m", "first", "churn@v1.0.0")
    return tmp_path


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def write(folder: Path, files: dict[str, str]) -> str:
    """Commit these files; the commit."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "Declare")
    return git(folder, "rev-parse", "HEAD")


def desired(folder: Path, models: dict[str, str], environment: str = "dev") -> Desired:
    """The desired state once these files are committed below the environment's `models/`."""
    commit = write(folder, {f"environments/dev/models/{name}": text for name, text in models.items()})
    with Repository.open(folder) as repo:
        return read_source(repo, read_declared(repo, commit, environment)).desired
