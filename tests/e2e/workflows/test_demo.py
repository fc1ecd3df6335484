"""The demo: what it removes, what it needs, and its first half. `make demo` runs all of it."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest

from gitops_ml.cli.demo import story
from gitops_ml.cli.demo.place import NAME
from gitops_ml.clients.gateway.container import GATEWAY_IMAGE
from gitops_ml.core.declaration.edits import new_declaration
from gitops_ml.core.generation import PROJECT
from gitops_ml.errors import InputError
from tests.conftest import remove_project
from tests.e2e.workshop import GITOPS_ML, ROOT, Ran


def run_demo(*arguments: str, timeout: float = 120.0, **env: str) -> Ran:
    done = subprocess.run(
        [str(GITOPS_ML), "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={**os.environ, **env},
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def project(engine: docker.DockerClient) -> Iterator[str]:
    """The name of a separate demo, so that a developer's demo is left alone."""
    name = f"{NAME}-test-{secrets.token_hex(3)}"
    yield name
    run_demo("--remove", "--project", name)
    remove_project(engine, name)
    (ROOT / ".run" / f"{name.removeprefix('gitops-ml-')}.lock").unlink(missing_ok=True)


def labelled(engine: docker.DockerClient, name: str) -> int:
    """The number of containers, networks and volumes of a project."""
    chosen = {"label": f"{PROJECT}={name}"}
    api = engine.api
    volumes = api.volumes(filters=chosen)["Volumes"] or []
    return len(api.containers(all=True, filters=chosen)) + len(api.networks(filters=chosen)) + len(volumes)


def make_objects(engine: docker.DockerClient, name: str) -> None:
    labels = {PROJECT: name}
    engine.api.create_container(GATEWAY_IMAGE, labels=labels)
    engine.api.create_network(name, labels=labels)
    engine.api.create_volume(name, labels=labels)


def test_only_what_carries_the_demos_name_is_removed(
    engine: docker.DockerClient, project: str, scratch_project: Callable[[], str]
) -> None:
    another = scratch_project()
    for name in (project, another):
        make_objects(engine, name)
    ran = run_demo("--remove", "--project", project)
    assert ran.code == 0, ran.err
    assert (labelled(engine, project), labelled(engine, another)) == (0, 3)


@pytest.mark.parametrize("name", ["flight-delay", "gitops-ml", f"{NAME}ing", f"{NAME}-", f"{NAME}/.."])
def test_the_name_of_another_project_is_refused(name: str) -> None:
    ran = run_demo("--remove", "--project", name)
    assert ran.code == 1
    assert "is not a name for a demo" in ran.err


def test_a_remote_engine_is_refused_and_a_missing_one_names_the_fix(tmp_path: Path) -> None:
    assert "has to be on this machine" in run_demo("--remove", DOCKER_HOST="tcp://example.invalid:2376").err
    ran = run_demo("--remove", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert ran.code == 1
    assert "fix: make setup" in ran.err


def test_a_folder_that_is_not_a_clone_of_gitops_ml_is_refused(tmp_path: Path) -> None:
    from gitops_ml.cli.demo.place import find

    with pytest.raises(InputError, match="is not a clone of gitops-ml"):
        find(tmp_path, NAME)


def test_each_passage_that_the_story_edits_occurs_once() -> None:
    params = (ROOT / "params.yaml").read_text()
    for passage in story.PARAMS:
        assert params.count(passage) == 1, passage
    declaration = new_declaration("m", "v1.0.0", "md5:0")
    for passage in (story.ONE_REPLICA, story.BLUE_GREEN):
        assert declaration.count(passage) == 1, passage


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_names_the_command_that_removes_it(
    engine: docker.DockerClient, project: str, number: signal.Signals
) -> None:
    begun = [str(GITOPS_ML), "demo", "--project", project]
    with subprocess.Popen(begun, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        next(line for line in process.stdout if "A team has this repository" in line)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    removal = next(line for line in said.splitlines() if line.startswith("next: ")).removeprefix("next: ")
    assert removal == f"gitops-ml demo --remove --project {project}"
    make_objects(engine, project)
    subprocess.run(
        removal, shell=True, check=True, env=os.environ | {"PATH": f"{GITOPS_ML.parent}:{os.environ['PATH']}"}
    )
    assert labelled(engine, project) == 0


@pytest.mark.timeout(1500)  # took 455 s beside other tests on two cores
def test_the_story_of_a_good_a_better_and_a_bad_version_is_true(engine: docker.DockerClient, project: str) -> None:
    ran = run_demo("--chapters", "3", "--project", project, timeout=1400, NO_COLOR="1")
    assert ran.code == 0, f"{ran.out[-3000:]}\n{ran.err}"
    assert "\x1b" not in ran.out
    url = next(word for word in ran.out.split() if word.startswith("http://127.0.0.1"))
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert json.load(answer)["versions"] == ["v1.1.0"]
    assert run_demo("--remove", "--project", project).code == 0
    assert labelled(engine, project) == 0
    assert not (ROOT / ".run" / project.removeprefix("gitops-ml-")).exists()
