"""A team's own checks, against real services: in a rollout, and of what serves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from gitops_ml.cli.demo.steady_load import SteadyLoad
from tests.e2e.observed_orders import Prometheus, page, require_prometheus
from tests.e2e.verifying import results, start, verify
from tests.e2e.workshop import EXAMPLE, Workshop


def test_an_http_check_asks_the_candidate_before_it_has_users(workshop: Workshop) -> None:
    checks = {"http": [{"name": "itself", "url": "${endpoint}", "contains": '"versions":["${version}"]'}]}
    start(workshop, "v1.0.0", verify=checks)
    start(workshop, "v1.1.0", verify=checks)
    assert {c["name"]: c["result"] for c in workshop.record()["attempts"][0]["checks"]}["http itself"] == "pass"
    # And the serving version, through the gateway.
    assert results(verify(workshop))["http itself"] == "pass"


ASK = """
import json, os, urllib.request
with urllib.request.urlopen(os.environ["GITOPS_ML_ENDPOINT"], timeout=10) as answer:
    versions = json.load(answer)["versions"]
raise SystemExit(0 if versions == ["v1.0.0"] else f"not {versions}" if len(versions) > 1 else 1)
"""


WAIT_FOR_OTHER = """
import os, time, urllib.error, urllib.request
other = os.environ["GITOPS_ML_ENDPOINT"].replace("churn", "other")
while True:
    try:
        raise SystemExit(urllib.request.urlopen(other, timeout=10).status != 200)
    except urllib.error.HTTPError:
        time.sleep(0.1)
"""


def _roll_out_another_deployment_during(workshop: Workshop, engine: docker.DockerClient) -> None:
    """Judge with a command that ends once another deployment serves: its rollout needs the lock meanwhile."""
    workshop.write("checks/wait.py", WAIT_FOR_OTHER)
    wait = {"name": "wait", "run": ["python", "checks/wait.py"], "timeout": "60s"}
    workshop.declare("v1.0.0", verify={"command": [wait]})
    workshop.declare("v1.0.0", deployment="other")
    command = {"label": [f"gitops-ml.project={workshop.project}", "gitops-ml.role=probe"]}
    with workshop.begin("verify", "dev", "churn") as verification:
        while verification.poll() is None and not engine.api.containers(filters=command):
            pass
        workshop.sync()
        assert verification.wait(timeout=60) == 0
    assert workshop.serving(deployment="other") == "v1.0.0"


def test_a_command_that_fails_or_hangs_stops_a_candidate(
    workshop: Workshop, engine: docker.DockerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is a file of the declaring commit, and asks the candidate before users do, and then the serving version."""
    declared: dict[str, Any] = {"verify": {"command": [{"name": "law", "run": ["python", "checks/law.py"]}]}}
    workshop.write("checks/law.py", ASK)
    start(workshop, "v1.0.0")
    workshop.declare("v1.0.0", **declared)
    refused = workshop.sync(expect=1)
    assert "GITOPS_ML_ALLOW_COMMANDS" in refused.err
    assert workshop.serving() == "v1.0.0"
    monkeypatch.setenv("GITOPS_ML_ALLOW_COMMANDS", "1")
    assert results(verify(workshop))["command law"] == "pass"
    _roll_out_another_deployment_during(workshop, engine)
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", **declared)
    workshop.sync(expect=3)
    assert (workshop.serving(), workshop.declared()["version"]) == ("v1.0.0", "v1.0.0")
    # A command that hangs ends at its own deadline, and the incumbent serves.
    workshop.release("v1.2.0")
    workshop.declare("v1.2.0", verify={"command": [{"name": "slow", "run": ["sleep", "600"], "timeout": "2s"}]})
    workshop.sync(expect=4)
    assert workshop.serving() == "v1.0.0"
    found = {c["name"]: c for c in workshop.record()["attempts"][0]["checks"]}["command slow"]
    assert (found["result"], found["reason"]) == ("inconclusive", "it was killed after 2s")


def test_a_secret_that_the_operator_does_not_permit_is_not_mounted(
    workshop: Workshop, engine: docker.DockerClient
) -> None:
    workshop.release("v1.0.0")
    workshop.declare("v1.0.0", secrets={"KEY": "/etc/shadow"})
    assert "GITOPS_ML_SECRETS_UNDER" in workshop.run("plan", "dev").err
    workshop.sync(expect=1)
    assert not engine.containers.list(all=True, filters={"label": f"gitops-ml.project={workshop.project}"})


@pytest.fixture
def orders(tmp_path: Path) -> Iterator[tuple[Prometheus, dict[str, Any]]]:
    """A Prometheus with the number of orders, and the page that it scrapes."""
    require_prometheus()
    with page() as (url, told):
        told["body"] = "orders_per_minute 100\n"
        prometheus = Prometheus(tmp_path, url)
        prometheus.start()
        try:
            prometheus.await_value("orders_per_minute", 100)
            yield prometheus, told
        finally:
            prometheus.stop()


def test_prometheus_fails_a_version_that_became_bad_and_decides_nothing_while_it_is_down(
    workshop: Workshop, orders: tuple[Prometheus, dict[str, Any]]
) -> None:
    prometheus, told = orders
    checks = {"prometheus": [{"name": "orders", "url": prometheus.url, "query": "orders_per_minute", "min": 50}]}
    start(workshop, "v1.0.0", verify=checks)
    start(workshop, "v1.1.0", verify=checks)
    prometheus.stop()
    assert results(verify(workshop, expect=4))["prometheus orders"] == "inconclusive"
    assert workshop.record()["verdict"] == "Inconclusive"
    assert (workshop.serving(), workshop.declared()["version"]) == ("v1.1.0", "v1.1.0")
    prometheus.start()
    prometheus.await_value("orders_per_minute", 100)
    found = verify(workshop)
    assert (found["before"], results(found)["prometheus orders"]) == ("Inconclusive", "pass")
    told["body"] = "orders_per_minute 20\n"
    prometheus.await_value("orders_per_minute", 20)
    found = verify(workshop, expect=3)
    assert found["checks"][-1]["reason"] == "20 is below min 50"
    # Orders are still low, but that does not prevent the rollback.
    assert (workshop.serving(), workshop.declared()["version"]) == ("v1.0.0", "v1.0.0")


def test_prometheus_is_queried_when_a_canary_has_had_users(
    workshop: Workshop, orders: tuple[Prometheus, dict[str, Any]]
) -> None:
    prometheus, told = orders
    declared: dict[str, Any] = {
        "rollout": {"strategy": "canary", "steps": [50]},
        "verify": {
            "traffic": {"max_bad_increase": 0.5, "timeout": "90s"},
            "prometheus": [{"name": "orders", "url": prometheus.url, "query": "orders_per_minute", "min": 50}],
        },
    }
    start(workshop, "v1.0.0", **declared)
    told["body"] = "orders_per_minute 20\n"
    prometheus.await_value("orders_per_minute", 20)
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", **declared)
    with SteadyLoad(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=60) as load:
        workshop.sync(expect=3)
    assert load.report.failed == 0, load.report.errors
    checks = workshop.record()["attempts"][0]["checks"]
    assert [(c["name"], c["result"]) for c in checks] == [
        ("ready", "pass"),
        ("smoke", "pass"),
        ("traffic", "pass"),
        ("prometheus orders", "fail"),
    ]
    assert workshop.serving() == "v1.0.0"
