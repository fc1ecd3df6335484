"""One real project, made by real git, dvc and gto once for all tests of this folder; each test gets its own copy."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitops_ml.clients.git.repository import Repository
from tests.conftest import NO_MAINTENANCE
from tests.forked_command import run_command

BIN = Path(sys.executable).parent
PIPELINE = """\
stages:
  train:
    cmd: mkdir -p models/flight-delay/code && cp params.yaml models/flight-delay/manifest.json
      && printf 'a,b\\n1,2\\n' > models/flight-delay/code/example.csv && cp params.yaml model.txt
    deps: [params.yaml]
    outs: [models/flight-delay, model.txt]
artifacts:
  flight-delay: {path: models/flight-delay, type: model}
  single: {path: model.txt, type: model}
  rows: {path: data/rows.csv, type: dataset}
  in-git: {path: plain/model.json, type: model}
  git-folder: {path: plain, type: model}
  inside: {path: models/flight-delay/code, type: model}
  external: {path: s3://bucket/model, type: model}
  outside: {path: ../elsewhere/model, type: model}
  absent: {path: models/never-made, type: model}
"""


@pytest.fixture(autouse=True)
def _own_identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the configuration of whoever runs it."""
    for key in [k for k in os.environ if k.startswith("GIT_")]:
        monkeypatch.delenv(key)
    for key, value in environment(tmp_path).items():
        monkeypatch.setenv(key, value)


def environment(home: Path) -> dict[str, str]:
    """What makes git, dvc and gto depend on nothing outside of the test."""
    identity = "[user]\n\tname = Ada\n\temail = ada@example.org\n[init]\n\tdefaultBranch = main\n"
    (home / "gitconfig").write_text(identity + NO_MAINTENANCE)
    return {
        "GIT_CONFIG_GLOBAL": str(home / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
    }


def run(folder: Path, *command: str, env: dict[str, str] | None = None) -> str:
    """A command in `folder`; its standard output. A failure fails the test with what the command said."""
    environ = os.environ | (env or {})
    if command[0] == "dvc":
        done = run_command(command[1:], folder, 400, program="dvc", env=environ)
    else:
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def git(folder: Path, *arguments: str) -> str:
    return run(folder, "git", *arguments)


def commit_file(folder: Path, path: str, text: str, message: str = "Change it") -> str:
    """Write one file, commit it; the commit's id."""
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    git(folder, "add", path)
    git(folder, "commit", "-q", "-m", message, "--", path)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`clone/` with its bare `origin.git` and its DVC remote `storage/`; two versions, both pushed.

    v1.0.0 was registered by gto, v1.1.0 by plain git; v0.9.0 was registered and taken back by gto.
    """
    return made_once(tmp_path_factory, "template", make_template)


@pytest.fixture(scope="session")
def trained_template(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same after one more training, committed and with its data pushed, but without a version."""

    def make(place: Path) -> None:
        shutil.copytree(template, place, symlinks=True, dirs_exist_ok=True)
        retrain(place / "clone", 6, env=environment(place))

    return made_once(tmp_path_factory, "trained", make)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker of a run makes and the others read."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    place = base / name
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (base / f"{name}.made").exists():
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            make(place)
            (base / f"{name}.made").touch()
    return place


def retrain(clone: Path, depth: int, push: bool = True, env: dict[str, str] | None = None) -> None:
    """Train with another parameter, commit, and push the data."""
    (clone / "params.yaml").write_text(f"depth: {depth}\n")
    run(clone, "dvc", "repro", "-q", env=env)
    run(clone, "git", "commit", "-qam", f"Train with depth {depth}", env=env)
    if push:
        run(clone, "dvc", "push", "-q", env=env)


def make_template(place: Path) -> None:
    env = environment(place)
    clone = place / "clone"

    def do(*command: str) -> str:
        return run(clone, *command, env=env)

    run(place, "git", "init", "-q", "--bare", "origin.git", env=env)
    run(place, "git", "clone", "-q", "origin.git", "clone", env=env)
    do("git", "config", "user.name", "Ada")
    do("git", "config", "user.email", "ada@example.org")
    do("git", "remote", "set-url", "origin", "../origin.git")
    do("dvc", "init", "-q")
    do("dvc", "remote", "add", "-q", "-d", "storage", "../storage")
    (clone / "dvc.yaml").write_text(PIPELINE)
    (clone / "plain").mkdir()
    (clone / "plain" / "model.json").write_text('{"weights": [1, 2]}\n')
    (clone / "data").mkdir()
    (clone / "data" / "rows.csv").write_text("day,late\n1,0\n2,1\n")
    do("dvc", "add", "-q", "data/rows.csv")
    (clone / "params.yaml").write_text("depth: 3\n")
    do("dvc", "repro", "-q")
    do("git", "add", "-A")
    do("git", "commit", "-q", "-m", "Train the first model")
    do("gto", "register", "flight-delay", "--version", "v0.9.0")
    do("gto", "deprecate", "flight-delay", "v0.9.0")
    (clone / "params.yaml").write_text("depth: 4\n")
    do("dvc", "repro", "-q")
    do("git", "commit", "-qam", "Train a deeper model")
    do("dvc", "push", "-q")  # not --all-commits at the end: for other commits, DVC takes ../storage from /
    do("gto", "register", "flight-delay", "--version", "v1.0.0")
    (clone / "params.yaml").write_text("depth: 5\n")
    do("dvc", "repro", "-q")
    do("git", "commit", "-qam", "Train the deepest model")
    do("git", "tag", "-a", "-m", "by hand", "flight-delay@v1.1.0")
    do("git", "tag", "-a", "-m", "by hand", "rows@v1.0.0")
    do("dvc", "push", "-q")
    do("git", "push", "-q", "-u", "origin", "main", "--tags")


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Path:
    """A copy of the template's clone, with its own origin and storage beside it."""
    place = tmp_path / "project"
    shutil.copytree(template, place, symlinks=True)
    return place / "clone"


@pytest.fixture
def repo(project: Path) -> Iterator[Repository]:
    """The project's clone, opened and fetched."""
    with Repository.open(project) as repository:
        repository.fetch()
        yield repository


@pytest.fixture
def lone(tmp_path: Path) -> Path:
    """A repository without a remote."""
    folder = tmp_path / "lone"
    folder.mkdir()
    git(folder, "init", "-q")
    commit_file(folder, "a.txt", "one\n", "Begin")
    commit_file(folder, "environments/dev/models/m.yaml", "schema: 1\nmodel: m\nversion: v1.0.0\n")
    return folder


@pytest.fixture
def other(project: Path) -> Callable[[str], Path]:
    """Another person's clone of the project's origin."""

    def clone(name: str) -> Path:
        folder = project.parent / name
        git(project.parent, "clone", "-q", "origin.git", name)
        return folder

    return clone
