"""Rollouts: a version is declared, built, verified and served; a worse one is caught."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import docker
import pytest

from gitops_ml.cli.demo.steady_load import SteadyLoad
from tests.e2e.workshop import EXAMPLE, HOLDOUT, MODEL, Workshop, serving_v1


def test_a_first_version_is_planned_verified_served_and_recorded_once(
    workshop: Workshop, engine: docker.DockerClient
) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", verify=HOLDOUT)
    ran = workshop.run("plan", "dev")
    assert ran.code == 2
    verbs = [line.split()[0] for line in ran.out.splitlines()]
    assert verbs == ["ensure-gateway", "begin", "build", "start", "verify"]
    label = {"label": f"gitops-ml.project={workshop.project}"}
    assert not engine.api.containers(all=True, filters=label)
    assert not engine.api.networks(filters=label)
    workshop.sync()
    assert workshop.serving() == "v1.0.0"
    status = workshop.status()
    assert (status["sync"], status["health"], status["verification"]) == ("Synced", "Healthy", "Verified")
    record = workshop.record()
    assert record["verdict"] == "Verified"
    assert [c["result"] for c in record["attempts"][0]["checks"]] == ["pass"] * 3
    # A pass with nothing to do writes no commit.
    before = workshop.git("ls-remote", "origin", "main")
    workshop.sync()
    assert workshop.git("ls-remote", "origin", "main") == before
    assert workshop.run("plan", "dev").code == 0


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
def test_a_better_version_takes_over_and_a_worse_one_is_caught_and_reverted_in_git(
    workshop: Workshop, strategy: str
) -> None:
    declared: dict[str, Any] = {"verify": HOLDOUT, "rollout": {"strategy": strategy}}
    workshop.release("v1.0.0", noise=0.5)
    workshop.declare("v1.0.0", **declared)
    workshop.sync()
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", **declared)
    workshop.sync()
    assert workshop.serving() == "v1.1.0"
    assert workshop.record()["serving"]["version"] == "v1.1.0"
    workshop.release("v2.0.0", noise=30)
    workshop.declare("v2.0.0", **declared)
    workshop.sync(expect=3)
    assert workshop.serving() == "v1.1.0"
    assert workshop.declared()["version"] == "v1.1.0"
    assert workshop.record()["attempts"][0]["outcome"] == "failed"
    workshop.sync()


def test_a_failed_first_version_gets_no_route(workshop: Workshop) -> None:
    workshop.release("v1.0.0", error="bad input")
    workshop.declare("v1.0.0")
    workshop.sync(expect=3)
    assert workshop.serving() is None
    status = workshop.status()
    assert (status["health"], status["verification"]) == ("Missing", "Failed")
    assert workshop.declared()["version"] == "v1.0.0"


def test_a_failed_version_stays_in_quarantine_until_retry(workshop: Workshop) -> None:
    workshop.environment(policy={"auto_revert": False})
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", verify=HOLDOUT)
    workshop.sync()
    workshop.release("v2.0.0", noise=30)
    workshop.declare("v2.0.0", verify=HOLDOUT)
    workshop.sync(expect=3)
    assert workshop.declared()["version"] == "v2.0.0"
    ran = workshop.sync(expect=3)
    assert "begin" not in ran.err
    assert "to try it again: gitops-ml sync dev --retry" in workshop.status()["message"]
    ran = workshop.sync("dev", "--retry", expect=3)
    assert "begin" in ran.err
    assert workshop.serving() == "v1.0.0"


def test_a_repository_without_a_remote_works_too(lone_workshop: Workshop) -> None:
    workshop = lone_workshop
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", verify=HOLDOUT)
    workshop.sync()
    workshop.release("v2.0.0", noise=30)
    workshop.declare("v2.0.0", verify=HOLDOUT)
    workshop.sync(expect=3)
    assert workshop.serving() == "v1.0.0"
    assert workshop.declared()["version"] == "v1.0.0"
    assert workshop.git("status", "--porcelain") == ""


def test_three_environments_run_side_by_side(workshop: Workshop) -> None:
    workshop.release("v1.0.0")
    workshop.release("v1.1.0")
    for environment, version in (("dev", "v1.1.0"), ("staging", "v1.0.0"), ("prod", "v1.0.0")):
        workshop.declare(version, environment=environment)
    ran = workshop.run("sync")
    assert ran.code == 0, ran.err
    assert [workshop.serving(e) for e in ("dev", "staging", "prod")] == ["v1.1.0", "v1.0.0", "v1.0.0"]


# --- tests that share a workshop, in the order in which they run


@pytest.fixture(scope="module")
def shared(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with serving_v1(engine, tmp_path_factory.mktemp("rollout"), "rollout") as workshop:
        yield workshop


def test_scaling_makes_no_new_generation(shared: Workshop, engine: docker.DockerClient) -> None:
    workshop = shared
    before = workshop.status()["generation"]
    for count in (3, 1):
        workshop.declare("v1.0.0", replicas=count)
        workshop.sync()
        status = workshop.status()
        assert status["generation"] == before
        assert status["replicas"] == {"desired": count, "ready": count}
        label = {"label": [f"gitops-ml.project={workshop.project}", f"gitops-ml.deployment={MODEL}"]}
        assert len(engine.api.containers(all=True, filters=label)) == count


def test_a_version_that_does_not_load_fails_with_its_last_log_lines(shared: Workshop) -> None:
    workshop = shared
    workshop.release("v2.0.0", crash="no such weights")
    workshop.declare("v2.0.0")
    ran = workshop.sync(expect=3)
    assert "no such weights" in ran.err
    assert workshop.serving() == "v1.0.0"
    assert any("no such weights" in line for line in workshop.record()["attempts"][0]["logs"])


def test_a_rollout_under_load_loses_no_request(shared: Workshop) -> None:
    workshop = shared
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0")
    with SteadyLoad(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=60) as load:
        workshop.sync()
    assert load.report.failed == 0, load.report.errors
    assert set(load.report.versions) == {"v1.0.0", "v1.1.0"}
