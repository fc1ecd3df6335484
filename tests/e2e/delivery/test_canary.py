"""Canaries and shadows: users' requests decide on the candidate."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from gitops_ml.cli.demo.steady_load import SteadyLoad
from gitops_ml.core.planning.route import PIN_HEADER
from tests.e2e.workshop import EXAMPLE, Workshop
from tests.ports import free_port

CANARY: dict[str, Any] = {
    "rollout": {"strategy": "canary", "steps": [25, 50]},
    "verify": {"traffic": {"max_bad_increase": 0.2, "timeout": "90s"}},
}


def load_on(workshop: Workshop, rate: float = 60) -> SteadyLoad:
    return SteadyLoad(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), rate=rate)


def start(workshop: Workshop, version: str, **declared: Any) -> None:
    workshop.release(version)
    workshop.declare(version, **declared)
    workshop.sync()


def test_a_candidate_as_good_as_the_incumbent_takes_over(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", **CANARY)
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", **CANARY)
    with load_on(workshop) as load:
        ran = workshop.sync()
    assert load.report.failed == 0, load.report.errors
    assert workshop.serving() == "v1.1.0"
    shifts = [line.split()[3] for line in ran.err.splitlines() if line.startswith("shift")]
    assert shifts == ["25%", "50%"]
    checks = {c["name"]: c for c in workshop.record()["attempts"][0]["checks"]}
    assert checks["traffic"]["result"] == "pass"
    _require_rate_in_comment(workshop, load.report.sent)


def _require_rate_in_comment(workshop: Workshop, sent: int) -> None:
    """The comment of a pull request expects a duration from the requests that the gateway has just logged."""
    workshop.declare("v1.0.0", **CANARY)
    ran = workshop.run("plan", "-o", "markdown", "--base", "HEAD~1", "--no-predictions")
    assert ran.code == 2, ran.err
    cell = re.search(r"at least (\d[^|]*): ([\d,]+) requests at ([\d.e+-]+)/s", ran.out)
    assert cell, ran.out
    assert 0 < float(cell[3]) <= sent


def test_a_candidate_that_fails_user_requests_is_stopped_and_reverted(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", **CANARY)
    workshop.release("v1.1.0", error_rate=1.0)
    workshop.declare("v1.1.0", **CANARY)
    with load_on(workshop) as load:
        workshop.sync(expect=3)
    assert workshop.serving() == "v1.0.0"
    assert workshop.declared()["version"] == "v1.0.0"
    figures = {c["name"]: c for c in workshop.record()["attempts"][0]["checks"]}["traffic"]["figures"]
    assert figures["candidate_bad"] <= 20
    assert set(load.report.errors) <= {"HTTP 500"}, (load.report.errors, workshop.gateway_log(502))


SHADOW: dict[str, Any] = {
    "rollout": {"strategy": "shadow"},
    "verify": {"traffic": {"max_bad_increase": 0.6, "timeout": "3m"}},
}
SHADOW_RATE = 40
"""Requests a second. A shadow doubles the work of the host, and its blocks of 1 s need no more to decide."""


def test_a_shadow_is_judged_on_copied_requests_that_no_user_sees(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", **SHADOW)
    workshop.release("v1.1.0", error_rate=1.0)
    workshop.declare("v1.1.0", **SHADOW)
    with load_on(workshop, SHADOW_RATE) as load:
        workshop.sync(expect=3)
    assert load.report.failed == 0, load.report.errors
    assert set(load.report.versions) == {"v1.0.0"}
    workshop.release("v1.2.0")
    workshop.declare("v1.2.0", **SHADOW)
    with load_on(workshop, SHADOW_RATE) as load:
        workshop.sync()
    assert load.report.failed == 0, load.report.errors
    assert workshop.serving() == "v1.2.0"


def test_requests_that_pin_a_generation_do_not_count_as_traffic(workshop: Workshop) -> None:
    workshop.ports["dev"] = free_port()
    workshop.environment(gateway={"port": workshop.ports["dev"], "pin_header": True})
    start(workshop, "v1.0.0", **CANARY)
    workshop.release("v1.1.0", error_rate=1.0)
    patience = {"verify": {"traffic": {"max_bad_increase": 0.5, "timeout": "12s"}}}
    workshop.declare("v1.1.0", **CANARY | patience)
    rollout = workshop.begin("sync", "dev")
    assert rollout.stderr is not None
    statuses: list[int] = []
    with rollout:
        for line in rollout.stderr:
            verb, *rest = line.split(" ")
            if verb == "watch" and not statuses:
                statuses = [ask(workshop, {PIN_HEADER: rest[1]}) for _ in range(60)]
        assert rollout.wait(timeout=60) == 4
    assert statuses.count(500) > 50
    figures = {c["name"]: c for c in workshop.record()["attempts"][0]["checks"]}["traffic"]["figures"]
    assert (figures["candidate_requests"], figures["incumbent_requests"]) == (0, 0)


def ask(workshop: Workshop, headers: dict[str, str]) -> int:
    """The status of one request with these headers."""
    request = urllib.request.Request(workshop.url() + "/infer", json.dumps(EXAMPLE).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_no_traffic_is_inconclusive(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", **CANARY)
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", **CANARY | {"verify": {"traffic": {"max_bad_increase": 0.5, "timeout": "6s"}}})
    workshop.sync(expect=4)
    assert workshop.serving() == "v1.0.0"
    status = workshop.status()
    assert (status["sync"], status["verification"]) == ("OutOfSync", "Inconclusive")


@pytest.mark.alone
def test_a_newer_commit_preempts_a_rollout_within_five_seconds(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", **CANARY)
    workshop.release("v1.1.0")
    workshop.release("v1.2.0")
    workshop.declare("v1.1.0", **CANARY)
    rollout = workshop.begin("sync", "dev")
    assert rollout.stderr is not None
    with rollout:
        for line in rollout.stderr:
            if line.startswith("watch"):
                break
        workshop.declare("v1.0.0", **CANARY)
        pushed = time.monotonic()
        for line in rollout.stderr:
            if line.startswith("settle"):
                break
        assert time.monotonic() - pushed < 5
        assert rollout.wait(timeout=60) == 0
    assert workshop.serving() == "v1.0.0"


@pytest.mark.alone
@pytest.mark.parametrize(
    ("model", "verify"),
    [({"load_seconds": 50}, {}), ({}, {"command": [{"name": "slow", "run": ["sleep", "40"], "timeout": "50s"}]})],
    ids=["a model that does not come up", "a check that takes long"],
)
def test_a_newer_commit_preempts_a_candidate_before_any_traffic(
    workshop: Workshop, model: dict[str, Any], verify: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_ML_ALLOW_COMMANDS", "1")
    start(workshop, "v1.0.0", **CANARY)
    workshop.release("v1.1.0", **model)
    workshop.release("v1.2.0")
    workshop.declare("v1.1.0", **CANARY | {"verify": verify})
    rollout = workshop.begin("sync", "dev")
    assert rollout.stderr is not None
    with rollout:
        for line in rollout.stderr:
            if line.startswith("verify"):
                break
        workshop.declare("v1.2.0")
        pushed = time.monotonic()
        another = workshop.begin("sync", "dev")
        said = []
        for line in rollout.stderr:
            said.append(line.split(" ", 1)[0])
            if said[-1] == "stop":
                break
        assert time.monotonic() - pushed < 5
        assert "shift" not in said
        with another:  # whichever of them comes first takes up the newer commit
            assert another.wait(timeout=60) == 0
        assert rollout.wait(timeout=60) == 0
    assert workshop.serving() == "v1.2.0"


def test_a_killed_rollout_continues_from_the_journal(workshop: Workshop) -> None:
    start(workshop, "v1.0.0", **CANARY)
    workshop.release("v1.1.0")
    workshop.declare("v1.1.0", **CANARY)
    with load_on(workshop):
        rollout = workshop.begin("sync", "dev")
        assert rollout.stderr is not None
        with rollout:
            for line in rollout.stderr:
                if line.startswith("traffic"):
                    break
            rollout.kill()
        ran = workshop.sync()
    assert "begin" not in [line.split()[0] for line in ran.err.splitlines() if line]
    assert workshop.serving() == "v1.1.0"
