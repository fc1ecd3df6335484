"""`retrain`, its gate, `diff` and `trace`, with real models; and sync.yml, verify.yml and retrain.yml, run by act.

The pipeline is one stage that writes the workshop's predictor, so that a test can train a better or a worse one in a
second; DVC, Git, the engine and the judgement are the real ones.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.act import act, add_workflow, on_forge
from tests.e2e.workshop import EXAMPLE, HOLDOUT, MANIFEST, MODEL, PREDICTOR, ROOT, Workshop, scratch_workshop
from tests.forked_command import run_command
from tests.git.cli_forge import address
from tests.unit.clients.forge.server import LocalForge, served

TRAIN = """
import json, pathlib, shutil, yaml
out = pathlib.Path("models/churn")
shutil.rmtree(out, ignore_errors=True)
shutil.copytree("template", out)
noise = yaml.safe_load(open("params.yaml"))["train"]["noise"]
(out / "behaviour.json").write_text(json.dumps({"noise": noise + 0}))
"""
DVC = """
stages:
  train:
    cmd: python train.py
    deps: [train.py, template]
    params: [train]
    outs: [models/churn]
artifacts:
  churn: {path: models/churn, type: model}
"""
PARAMS = """
# how the model is made
train: {noise: %s}
retrain:
  model: churn
  max_per_day: %d
  gate:
    data: data/holdout.csv
    group: day
    metrics: {roc_auc: {min: 0.6, max_drop: 0.02}}
"""


def dvc(workshop: Workshop, *arguments: str) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path}
    run_command([*arguments, "--quiet"], workshop.folder, 120, program="dvc", env=env).check_returncode()


def set_up(workshop: Workshop, *, per_day: int = 50) -> None:
    """A pipeline, a DVC remote, and v1.0.0 of a mediocre model, declared in dev."""
    # Not `dvc remote add`, which writes a path from here: a workflow runs in a copy of the clone.
    storage = workshop.folder.parent / "storage"
    remote = f"['remote \"storage\"']\n    url = {storage}\n"
    workshop.write(".dvc/config", f"[core]\n    analytics = false\n    remote = storage\n{remote}")
    workshop.write(".dvc/.gitignore", "/config.local\n/tmp\n/cache\n")
    workshop.write("train.py", TRAIN)
    workshop.write("dvc.yaml", DVC)
    workshop.write("params.yaml", PARAMS % (3, per_day))
    for name, text in {
        "model.py": PREDICTOR,
        "manifest.json": json.dumps(MANIFEST),
        "example.json": json.dumps(EXAMPLE),
    }.items():
        workshop.write(f"template/{name}", text)
    shutil.copy(ROOT / "requirements" / "serving.txt", workshop.folder / "template" / "requirements.txt")
    train(workshop, "v1.0.0", noise=3)
    workshop.declare("v1.0.0", verify=HOLDOUT, on_failure=["revert", "retrain"])


def train(workshop: Workshop, version: str, *, noise: float) -> None:
    """Train and register a version, as a person does."""
    workshop.pull()
    old = (workshop.folder / "params.yaml").read_text()
    changed = [f"train: {{noise: {noise}}}" if line.startswith("train:") else line for line in old.splitlines()]
    workshop.write("params.yaml", "\n".join(changed) + "\n")
    dvc(workshop, "repro")
    dvc(workshop, "push")
    workshop.commit(f"Train {version}")
    ran = workshop.run("register", MODEL, "--version", version, "--push")
    assert ran.code == 0, ran.err


def retrain(workshop: Workshop, *arguments: str, expect: int = 0) -> dict[str, Any]:
    ran = workshop.run("retrain", "-o", "json", *arguments)
    assert ran.code == expect, f"exit {ran.code}, expected {expect}\n{ran.out}\n{ran.err}"
    return dict(json.loads(ran.out))


def refs(workshop: Workshop) -> str:
    """All refs of the clone and its remote, except fetched ones."""
    own = workshop.git("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags")
    return own + workshop.git("ls-remote", "origin")


@pytest.fixture(scope="module")
def team(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with scratch_workshop(engine, tmp_path_factory.mktemp("team"), "retrain") as workshop:
        set_up(workshop)
        yield workshop


def test_a_worse_model_gets_no_version(team: Workshop, engine: docker.DockerClient) -> None:
    before = refs(team)
    team.write("train.py", "an edit that nobody has committed")
    try:
        done = retrain(team, "--set", "train.noise=30", "--push", expect=3)
        assert team.git("status", "--porcelain") == "M train.py"
    finally:
        team.git("checkout", "--", "train.py")
    assert done["outcome"] == "failed"
    assert [check["result"] for check in done["checks"]] == ["fail"]
    assert refs(team) == before
    assert len(team.git("worktree", "list").splitlines()) == 1
    mine = {"label": f"gitops-ml.project={team.project}"}
    assert not engine.api.containers(all=True, filters=mine)
    assert not engine.api.networks(filters=mine)


def test_an_unchanged_model_gets_no_version(team: Workshop) -> None:
    before = refs(team)
    done = retrain(team, "--push")
    assert done["outcome"] == "unchanged"
    assert refs(team) == before


def test_a_better_model_is_registered_and_proposed_on_a_branch(team: Workshop) -> None:
    main = team.git("rev-parse", "HEAD")
    done = retrain(team, "--set", "train.noise=0", "--push")
    assert (done["outcome"], done["version"], done["branch"]) == ("registered", "v1.1.0", "retrain/churn-v1.1.0")
    assert done["new"] == ["params.yaml:train.noise"]
    assert team.git("rev-parse", "HEAD") == main
    assert "main" in team.git("ls-remote", "--heads", "origin", "main")
    assert team.git("ls-remote", "origin", "main").split()[0] == main
    team.git("fetch", "-q", "--tags")
    assert team.git("rev-parse", "churn@v1.1.0^{commit}") == done["commit"]
    assert team.git("rev-parse", "origin/retrain/churn-v1.1.0") == done["bump_commit"]
    changed = team.git("diff", "--name-only", "main", "origin/retrain/churn-v1.1.0").splitlines()
    assert changed == ["dvc.lock", f"environments/dev/models/{MODEL}.yaml", "params.yaml"]
    assert "# how the model is made" in team.git("show", "origin/retrain/churn-v1.1.0:params.yaml")
    again = retrain(team, "--set", "train.noise=0", "--push")
    assert (again["outcome"], again["version"]) == ("unchanged", "v1.1.0")


def test_diff_shows_what_changed_and_which_answers_flip(team: Workshop) -> None:
    ran = team.run("diff", MODEL, "v1.0.0", "v1.1.0", "-o", "json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["params"] == {"params.yaml:train.noise": [3, 0]}
    assert (found["code"], found["dependencies"]) == ({}, {})
    answers = found["predictions"]
    assert answers["rows"] == 1200
    assert 0 < answers["wrong"] < answers["right"] <= answers["flips"]
    gains = {check["name"]: check["figures"] for check in answers["checks"]}
    assert gains["holdout roc_auc"]["gain_low"] > 0
    shares = [one["change"] for one in answers["slices"]]
    assert max(shares) > answers["change"] > min(shares)  # the noise flips what is near the threshold


def test_diff_shows_the_rest_where_no_engine_answers(team: Workshop) -> None:
    ran = team.run("diff", MODEL, "v1.0.0", "v1.1.0", "--engine", "unix:///nowhere.sock", "-o", "json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["params"] == {"params.yaml:train.noise": [3, 0]} and found["predictions"] is None
    assert "unix:///nowhere.sock does not answer" in found["unanswered"]


@pytest.fixture(scope="module")
def forge() -> Iterator[LocalForge]:
    with served(LocalForge(kind="github", account=None, writes_as="github-actions[bot]", automatic=True)) as forge:
        yield forge
    assert forge.violations == []


@pytest.fixture(scope="module")
def automated(team: Workshop, forge: LocalForge) -> Callable[..., str]:
    """Runs a workflow of the team on a GitHub on loopback, with the exit code that it expects."""
    for name in ("sync.yml", "verify.yml"):
        add_workflow(team.folder, name, {"environment: [staging, prod]": "environment: [dev]"})
    add_workflow(team.folder, "retrain.yml", {"setup/venv && ": ""})
    team.commit("Automate")
    address(team.folder)
    switches = [word for name in ("SYNC", "RETRAIN") for word in ("--var", f"GITOPS_ML_{name}=true")]

    def run(event: str, workflow: str, payload: dict[str, object], expect: int = 0) -> str:
        team.pull()
        code, printed = act(team.folder, event, workflow, payload, *on_forge(forge), *switches)
        assert code == expect, printed
        team.pull()
        return printed

    return run


def test_a_merged_proposal_is_synced_verified_and_traced(
    team: Workshop, automated: Callable[..., str], forge: LocalForge, engine: docker.DockerClient
) -> None:
    team.git("fetch", "-q")
    team.git("merge", "-q", "--no-edit", "origin/retrain/churn-v1.1.0")
    team.git("push", "-q", "origin", "HEAD:main")
    declared = team.git("rev-parse", "HEAD")
    printed = automated("push", "sync.yml", {"ref": "refs/heads/main"})
    assert "::set-output:: verdict=Verified" in printed
    assert team.serving() == "v1.1.0"
    assert (forge.statuses[-1][0], forge.statuses[-1][1]["state"]) == (declared, "success")
    assert forge.deployments[-1]["statuses"][0]["state"] == "success"
    assert "::set-output:: verdict=Verified" in automated("workflow_dispatch", "verify.yml", {})
    traced = trace(team, "dev", MODEL)
    trained = team.git("rev-parse", "churn@v1.1.0^{commit}")
    assert (traced["version"], traced["tag"], traced["trained"]["commit"]) == ("v1.1.0", "churn@v1.1.0", trained)
    path = f"environments/dev/models/{MODEL}.yaml"
    assert traced["bumped"]["commit"] == team.git("log", "-1", "--format=%H", "--", path)
    assert traced["made"]["params"] == {"params.yaml:train.noise": 0}
    assert sorted(traced["made"]["inputs"]) == ["template", "train.py"]
    assert traced["attempt"]["verdict"] == "Verified"
    assert trace(team, "dev", MODEL, "--no-live")["generation"] == traced["generation"]
    labels = [f"gitops-ml.project={team.project}", f"gitops-ml.generation={traced['generation']}"]
    (replica,) = engine.containers.list(filters={"label": labels})
    assert team.serving(request_id="answer-7") == "v1.1.0"
    for name in (replica.name, replica.id, replica.attrs["Image"], "answer-7", traced["generation"]):
        assert trace(team, str(name)) == traced, name
    assert trace(team, "churn@v1.1.0")["uses"] == traced["uses"]


def trace(workshop: Workshop, *words: str) -> dict[str, Any]:
    ran = workshop.run("trace", *words, "-o", "json")
    assert ran.code == 0, ran.err
    return dict(json.loads(ran.out))


def test_a_rollback_requests_a_new_model_once(team: Workshop, automated: Callable[..., str], forge: LocalForge) -> None:
    """The last test that shares the team: v2.0.0 is worse and rolled back, and the next model answers the request."""
    train(team, "v2.0.0", noise=30)
    team.declare("v2.0.0", verify=HOLDOUT, on_failure=["revert", "retrain"])
    printed = automated("push", "sync.yml", {"ref": "refs/heads/main"}, expect=1)
    assert "::set-output:: verdict=Failed" in printed
    (failed,) = [each for each in forge.deployments if each["ref"] == team.git("rev-parse", "HEAD~1")]
    assert [stage["state"] for stage in failed["statuses"]][:2] == ["inactive", "failure"], "it was reverted"
    asked = team.record()["retrain"]
    assert asked["state"] == "requested"
    assert asked["attempt"] == team.record()["attempts"][0]["id"]
    team.write("params.yaml", (team.folder / "params.yaml").read_text().replace("noise: 30", "noise: 0.1"))
    team.commit("Train with less noise")
    automated("schedule", "retrain.yml", {"schedule": "41 * * * *"})
    assert list(forge.pulls) == ["retrain/churn-v2.1.0"]
    answered = team.record()["retrain"]
    assert (answered["state"], answered["answer"]) == ("answered", "registered: v2.1.0")
    assert retrain(team, "--if-requested", "--push")["outcome"] == "not requested"
    team.sync()
    assert team.record()["retrain"] == answered


def test_versions_per_day_are_limited(workshop: Workshop) -> None:
    set_up(workshop, per_day=1)
    done = retrain(workshop, "--set", "train.noise=0", expect=4)
    assert done["outcome"] == "held"
    assert "versions registered within a day: 1;" in done["reason"]


def test_an_interrupted_training_leaves_nothing(team: Workshop) -> None:
    before = refs(team)
    process = team.begin("retrain", "--set", "train.noise=0.5", "--push")
    assert process.stderr is not None
    next(line for line in process.stderr if "Running stage" in line)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert refs(team) == before
    assert len(team.git("worktree", "list").splitlines()) == 1


def test_a_failed_stage_is_reported_with_its_own_message(lone_workshop: Workshop) -> None:
    set_up(lone_workshop)
    ran = lone_workshop.run("retrain", "--set", "train.noise=much")
    assert ran.code == 1
    assert "dvc repro failed" in ran.err
    assert "TypeError: can only concatenate str" in ran.err.split("dvc repro failed")[1]
    assert "fix: dvc repro" in ran.err
    direct = retrain(lone_workshop, "--set", "train.noise=0", "--direct")
    assert (direct["outcome"], direct["branch"]) == ("registered", "main")
    assert lone_workshop.declared()["version"] == direct["version"]
    assert lone_workshop.git("status", "--porcelain") == ""
