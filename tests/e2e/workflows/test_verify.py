"""`verify`, a team's own checks, and the advisory checks, against real services."""

from __future__ import annotations

import http.client
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
import numpy as np
import pandas as pd
import pytest

from gitops_ml.artifacts.reference import reference
from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.clients.engine.client import Engine
from gitops_ml.clients.gateway.probing.samples import read_samples
from gitops_ml.core.generation import ALIAS
from tests.e2e.observed_orders import Prometheus, page, require_prometheus
from tests.e2e.workshop import EXAMPLE, HOLDOUT, MODEL, Workshop, scratch_workshop


def http_check(url: str) -> dict[str, Any]:
    return {"http": [{"name": "orders", "url": url, "contains": "well"}]}


def start(workshop: Workshop, version: str, **declared: Any) -> None:
    workshop.release(version)
    workshop.declare(version, **declared)
    workshop.sync()


def verify(workshop: Workshop, expect: int = 0) -> dict[str, Any]:
    """Run `gitops-ml verify dev -o json`. Returns its part on the only deployment."""
    ran = workshop.run("verify", "dev", "-o", "json")
    assert ran.code == expect, f"exit {ran.code}, expected {expect}\n{ran.out}\n{ran.err}"
    found = json.loads(ran.out)["deployments"]
    return dict(found[0]) if found else {"err": ran.err}


def results(found: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["result"] for check in found["checks"]}


def tip(workshop: Workshop) -> str:
    return workshop.git("ls-remote", "origin", "main")


# --- what serves is judged again


def test_an_unchanged_verdict_writes_nothing(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", verify=HOLDOUT)
    before = tip(workshop)
    found = verify(workshop)
    assert (found["verdict"], found["before"]) == ("Verified", "Verified")
    assert results(found) == {"ready": "pass", "smoke": "pass", "holdout roc_auc": "pass"}
    assert tip(workshop) == before
    assert workshop.run("plan", "dev").code == 0


def test_verify_goes_back_by_one_version_at_most(workshop: Workshop) -> None:
    with page() as (url, told):
        for version in ("v1.0.0", "v1.1.0", "v1.2.0"):
            start(workshop, version, verify=http_check(url))
        told["status"] = 500
        assert verify(workshop, expect=3)["goes_back_to"] == "v1.1.0"
        assert (workshop.serving(), workshop.declared()["version"]) == ("v1.1.0", "v1.1.0")
        workshop.git("fetch", "-q", "origin")
        assert "Record dev/churn v1.2.0: failed, reverted to v1.1.0" in workshop.git(
            "log", "--format=%s", "origin/main"
        )
        # It is no version's fault.
        found = verify(workshop, expect=3)
        assert (found["version"], found["goes_back_to"]) == ("v1.1.0", None)
        assert workshop.serving() == "v1.1.0"
        told["status"] = 200
        assert verify(workshop)["before"] == "Failed"
        status = workshop.status()
        assert (status["sync"], status["version"], status["verification"]) == ("Synced", "v1.1.0", "Verified")


def test_the_version_before_takes_over_when_only_the_newer_one_is_bad(workshop: Workshop) -> None:
    canary = {"strategy": "canary", "steps": [50]}
    with page() as (url, told):
        told["body"] = "orders go well with v1.0.0 and v1.1.0"
        checks: dict[str, Any] = {"http": [{"name": "orders", "url": url, "contains": "${version}"}]}
        start(workshop, "v1.0.0", verify=checks)
        start(workshop, "v1.1.0", verify=checks)
        workshop.declare("v1.1.0", verify=checks | {"traffic": {"max_bad_increase": 0.5}}, rollout=canary)
        workshop.sync()
        told["body"] = "orders go well with v1.0.0"
        ran = workshop.run("verify", "dev")
        assert ran.code == 3, ran.err
        # The failed version is replaced at once, although a canary is declared.
        assert (workshop.serving(), workshop.declared()["version"]) == ("v1.0.0", "v1.0.0")
        record = workshop.record()
        assert [(a["version"], a["strategy"], a["outcome"]) for a in record["attempts"][:2]] == [
            ("v1.0.0", "blue-green", "promoted"),
            ("v1.1.0", "review", "failed"),
        ]
        assert record["verified"]["version"] == "v1.0.0"
        failed = {c["name"]: c for c in record["attempts"][1]["checks"]}["http orders"]
        assert failed["result"] == "fail" and "v1.1.0" in failed["reason"]
        status = workshop.status()
        assert (status["sync"], status["verification"]) == ("Synced", "Verified")
        # The failed version is not tried again, although somebody declares it again.
        workshop.declare("v1.1.0", verify=checks | {"traffic": {"max_bad_increase": 0.5}}, rollout=canary)
        workshop.sync(expect=3)
        assert workshop.serving() == "v1.0.0"
    history = workshop.run("history", "dev")
    assert "Failed (review, failed, over v1.0.0)" in history.out


def test_without_auto_revert_a_failed_version_is_recorded_and_keeps_serving(workshop: Workshop) -> None:
    workshop.environment(policy={"auto_revert": False})
    with page() as (url, told):
        start(workshop, "v1.0.0", verify=http_check(url))
        start(workshop, "v1.1.0", verify=http_check(url))
        told["body"] = "degraded"
        assert verify(workshop, expect=3)["verdict"] == "Failed"
        assert (workshop.serving(), workshop.declared()["version"]) == ("v1.1.0", "v1.1.0")
        assert workshop.status()["verification"] == "Failed"
        recorded = tip(workshop)
        assert verify(workshop, expect=3)["before"] == "Failed"
        assert tip(workshop) == recorded
        told["body"] = "all is well"
        found = verify(workshop)
        assert (found["before"], found["verdict"]) == ("Failed", "Verified")
        assert workshop.status()["verification"] == "Verified"
        assert workshop.record()["verified"]["version"] == "v1.1.0"


def test_a_first_version_that_became_bad_keeps_serving(workshop: Workshop) -> None:
    with page() as (url, told):
        start(workshop, "v1.0.0", verify=http_check(url))
        told["status"] = 503
        assert verify(workshop, expect=3)["goes_back_to"] is None
        assert workshop.serving() == "v1.0.0"
        assert workshop.record()["verified"] is None


def test_a_stopped_replica_gives_no_verdict_on_its_model(workshop: Workshop, engine: docker.DockerClient) -> None:
    start(workshop, "v1.0.0")
    label = {"label": [f"gitops-ml.project={workshop.project}", f"gitops-ml.deployment={MODEL}"]}
    engine.api.kill(engine.api.containers(filters=label)[0]["Id"])
    before = tip(workshop)
    assert "no replica of churn v1.0.0 runs" in verify(workshop, expect=1)["err"]
    assert tip(workshop) == before
    workshop.sync()
    verify(workshop)


def test_a_refused_push_keeps_the_verdict_and_the_next_pass_goes_back(workshop: Workshop) -> None:
    with page() as (url, told):
        start(workshop, "v1.0.0", verify=http_check(url))
        start(workshop, "v1.1.0", verify=http_check(url))
        hook = workshop.remote / "hooks" / "pre-receive"
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
        told["status"] = 500
        assert verify(workshop, expect=5)["verdict"] == "Failed"
        assert workshop.serving() == "v1.1.0"
        hook.unlink()
        assert verify(workshop, expect=3)["before"] == "Failed"
        assert (workshop.serving(), workshop.declared()["version"]) == ("v1.0.0", "v1.0.0")


def test_during_a_canary_only_the_incumbent_is_judged(workshop: Workshop) -> None:
    with page() as (url, told):
        # Asked through the gateway, one of two would be the candidate.
        itself = [{"name": n, "url": "${endpoint}", "contains": '"versions":["${version}"]'} for n in ("one", "two")]
        spec = {"http": [*itself, *http_check(url)["http"]], "traffic": {"max_bad_increase": 0.5, "timeout": "90s"}}
        declared: dict[str, Any] = {"verify": spec, "rollout": {"strategy": "canary", "steps": [50]}}
        start(workshop, "v1.0.0", **declared)
        workshop.release("v1.1.0")
        workshop.declare("v1.1.0", verify={k: spec[k] for k in spec if k != "traffic"})
        workshop.sync()
        workshop.release("v1.2.0", error_rate=1.0)
        workshop.declare("v1.2.0", **declared)
        rollout = workshop.begin("sync", "dev")
        assert rollout.stderr is not None
        with rollout:
            for line in rollout.stderr:
                if line.startswith("watch"):
                    break
            found = verify(workshop)
            assert (found["version"], found["verdict"], found["before"]) == ("v1.1.0", "Verified", "Verified")
            told["status"] = 500
            found = verify(workshop, expect=3)
            assert (found["version"], found["verdict"]) == ("v1.1.0", "Failed")
            # The tip declares the candidate, whose rollout goes on: it may be what fixes this.
            assert (found["declared_instead"], found["goes_back_to"]) == ("v1.2.0", None)
            assert workshop.declared()["version"] == "v1.2.0"
            assert workshop.record()["attempts"][0]["strategy"] == "review"
            assert rollout.poll() is None
            with SteadyLoad(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=50):
                said = rollout.stderr.read()
                assert rollout.wait(timeout=60) == 3, said
    # The version that takes over again has not failed itself.
    assert (workshop.serving(), workshop.declared()["version"]) == ("v1.0.0", "v1.0.0")
    workshop.git("fetch", "-q", "origin")
    assert "Record dev/churn v1.2.0: failed, reverted to v1.0.0" in workshop.git("log", "--format=%s", "origin/main")
    status = workshop.status()
    assert (status["sync"], status["verification"]) == ("Synced", "Verified")


def test_an_undeclared_deployment_is_named(workshop: Workshop) -> None:
    start(workshop, "v1.0.0")
    ran = workshop.run("verify", "dev", "chrun")
    assert (ran.code, "declared are churn" in ran.err) == (1, True)


# --- a team's own checks in a rollout


def test_an_http_check_asks_the_candidate_before_it_has_users(workshop: Workshop) -> None:
    checks = {"http": [{"name": "itself", "url": "${endpoint}", "contains": '"versions":["${version}"]'}]}
    start(workshop, "v1.0.0", verify=checks)
    start(workshop, "v1.1.0", verify=checks)
    assert {c["name"]: c["result"] for c in workshop.record()["attempts"][0]["checks"]}["http itself"] == "pass"
    # And the serving version, through the gateway.
    assert results(verify(workshop))["http itself"] == "pass"


def test_a_command_that_hangs_ends_at_its_own_deadline_and_the_incumbent_serves(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_ML_ALLOW_COMMANDS", "1")
    start(workshop, "v1.0.0")
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", verify={"command": [{"name": "slow", "run": ["sleep", "600"], "timeout": "2s"}]})
    began = time.monotonic()
    workshop.sync(expect=4)
    assert time.monotonic() - began < 60
    assert workshop.serving() == "v1.0.0"
    found = {c["name"]: c for c in workshop.record()["attempts"][0]["checks"]}["command slow"]
    assert (found["result"], found["reason"]) == ("inconclusive", "it was killed after 2s")


ASK = """
import json, os, urllib.request
with urllib.request.urlopen(os.environ["GITOPS_ML_ENDPOINT"], timeout=10) as answer:
    versions = json.load(answer)["versions"]
raise SystemExit(0 if versions == ["v1.0.0"] else f"not {versions}" if len(versions) > 1 else 1)
"""


def test_a_command_that_fails_stops_a_candidate(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
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
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", **declared)
    workshop.sync(expect=3)
    assert (workshop.serving(), workshop.declared()["version"]) == ("v1.0.0", "v1.0.0")


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


def test_prometheus_fails_a_serving_version_that_became_bad(
    workshop: Workshop, orders: tuple[Prometheus, dict[str, Any]]
) -> None:
    prometheus, told = orders
    checks = {"prometheus": [{"name": "orders", "url": prometheus.url, "query": "orders_per_minute", "min": 50}]}
    start(workshop, "v1.0.0", verify=checks)
    start(workshop, "v1.1.0", verify=checks)
    assert results(verify(workshop))["prometheus orders"] == "pass"
    told["body"] = "orders_per_minute 20\n"
    prometheus.await_value("orders_per_minute", 20)
    found = verify(workshop, expect=3)
    assert found["checks"][-1]["reason"] == "20 is below min 50"
    # Orders are still low, but that does not prevent the rollback.
    assert (workshop.serving(), workshop.declared()["version"]) == ("v1.0.0", "v1.0.0")


def test_a_prometheus_that_is_down_is_inconclusive_and_reverts_nothing(
    workshop: Workshop, orders: tuple[Prometheus, dict[str, Any]]
) -> None:
    prometheus, _ = orders
    checks = {"prometheus": [{"name": "orders", "url": prometheus.url, "query": "orders_per_minute", "min": 50}]}
    start(workshop, "v1.0.0", verify=checks)
    start(workshop, "v1.1.0", verify=checks)
    prometheus.stop()
    assert results(verify(workshop, expect=4))["prometheus orders"] == "inconclusive"
    assert workshop.record()["verdict"] == "Inconclusive"
    assert (workshop.serving(), workshop.declared()["version"]) == ("v1.1.0", "v1.1.0")
    prometheus.start()
    prometheus.await_value("orders_per_minute", 100)
    assert verify(workshop)["before"] == "Inconclusive"


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


# --- live rows, drift and agreement

ADVICE: dict[str, Any] = {
    "env": {"GITOPS_ML_SAMPLES_PER_SECOND": "1000"},
    "verify": {"drift": {}, "agreement": {}},
}


def ask(workshop: Workshop, count: int, middle: float) -> None:
    """Send `count` requests as users, with inputs around `middle`."""
    chance = random.Random(3)
    where = urlsplit(workshop.url())
    connection = http.client.HTTPConnection(where.netloc, timeout=30)
    for _ in range(count):
        tensor = {"name": "x", "datatype": "FP64", "shape": [1], "data": [chance.gauss(middle, 1.5)]}
        connection.request("POST", f"{where.path}/infer", json.dumps({"inputs": [tensor]}))
        answer = connection.getresponse()
        assert (answer.status, bool(answer.read())) == (200, True)
    connection.close()


def trained(workshop: Workshop) -> None:
    """What the train stage stores about the inputs: values around 0."""
    x = np.random.default_rng(1).normal(0, 1.5, 5000)
    told = json.dumps(reference(pd.DataFrame({"x": x}), []))
    workshop.write(f"models/{MODEL}/reference.json", told)


def test_drift_and_agreement_are_reported_and_decide_nothing(workshop: Workshop) -> None:
    trained(workshop)
    start(workshop, "v1.0.0", **ADVICE)
    ask(workshop, 300, 0.0)
    found = {c["name"]: c for c in verify(workshop)["checks"]}
    assert (found["drift"]["result"], found["drift"]["advisory"]) == ("pass", True)
    assert found["drift"]["figures"]["rows"] == 300
    # The inputs change, and a version with different answers is declared.
    ask(workshop, 512, 3.0)
    workshop.release("v1.1.0", noise=2)
    workshop.declare("v1.1.0", **ADVICE)
    ran = workshop.sync()
    assert "drift advises dev/churn: 1 of 1 features have moved: x " in ran.err
    attempt = workshop.record()["attempts"][0]
    assert (attempt["verdict"], attempt["outcome"]) == ("Verified", "promoted")
    checks = {c["name"]: c for c in attempt["checks"]}
    assert checks["drift"]["result"] == "fail"
    figures = checks["agreement"]["figures"]
    assert figures["rows"] == 512
    assert 0 < figures["share_low"] < figures["share"] < figures["share_high"] < 0.5
    assert workshop.serving() == "v1.1.0"


def test_too_few_live_rows_are_inconclusive_and_stop_nothing(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", **ADVICE)
    ask(workshop, 10, 0.0)
    start(workshop, "v1.1.0", **ADVICE)
    checks = {c["name"]: c for c in workshop.record()["attempts"][0]["checks"]}
    assert checks["agreement"]["reason"] == "10 live rows, and 50 are needed"
    assert checks["drift"]["reason"] == "the model stores no reference of its training data"
    assert workshop.status()["verification"] == "Verified"


@pytest.mark.parametrize(
    "path",
    ["/churn/gitops-ml/samples", "/churn/churn/gitops-ml/samples", "/churn//gitops-ml/samples", "/gitops-ml/samples"],
)
@pytest.mark.parametrize("connection", ["keep-alive", "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Prefix"])
def test_live_rows_cannot_be_read_through_the_gateway(sampled: Workshop, path: str, connection: str) -> None:
    where = urlsplit(sampled.url())
    asking = http.client.HTTPConnection(where.netloc, timeout=30)
    asking.request("GET", path, headers={"Connection": connection})
    answer = asking.getresponse()
    assert answer.status == 404, answer.read()
    assert b"inputs" not in answer.read()


def test_live_rows_are_users_requests_without_probes(sampled: Workshop, engine: docker.DockerClient) -> None:
    label = {"label": [f"gitops-ml.project={sampled.project}"]}
    found = {c["Labels"]["gitops-ml.role"]: c for c in engine.api.containers(filters=label)}
    verify(sampled)
    with Engine.connect(None) as ours:
        alias = found["replica"]["Labels"][ALIAS]
        samples = read_samples(ours, found["gateway"]["Id"], [(alias, 8080)])
    assert (samples.rows, samples.seen) == (25, 25)
    assert [t.name for t in samples.inputs] == ["x"]


@pytest.fixture(scope="module")
def sampled(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    """A workshop whose model has answered 25 requests."""
    with scratch_workshop(engine, tmp_path_factory.mktemp("sampled"), "sampled") as workshop:
        start(workshop, "v1.0.0", **ADVICE)
        ask(workshop, 25, 0.0)
        yield workshop
