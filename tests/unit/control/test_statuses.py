"""Commit statuses follow the verdicts of real passes over a simulated host, and never stand in the way of one."""

from __future__ import annotations

import threading

import pytest

from gitops_ml.control.agent.passes import one_pass
from gitops_ml.control.statuses import StatusReporter
from gitops_ml.control.sync import sync
from gitops_ml.core.declaration.schema import Hold
from gitops_ml.core.pull_request.deployments import ForgeDeployment
from gitops_ml.core.pull_request.statuses import CommitStatus
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import EngineFailed, ForgeRefused, ForgeUnavailable, GitopsError
from tests.unit.builders import NAME, generation, wanted
from tests.unit.control.canaries import OTHER, TWO, bad_canary, serving_v1
from tests.unit.simulated_host import Host, SimulatedEnvironment


def told(host: Host, environment: SimulatedEnvironment) -> list[tuple[str, str, str]]:
    """State, context and description of each status, as they come in."""
    statuses: list[CommitStatus] = []
    reporter = StatusReporter(statuses.append, lambda text: pytest.fail(text))
    sync(environment, on_look=reporter.tell)
    reporter.close()
    host.require_safe()
    return [(status.state, status.context, status.description) for status in statuses]


@pytest.mark.parametrize(
    ("verdict", "state", "description"),
    [
        ("Verified", "success", "v2 is Verified and serves"),
        ("Failed", "failure", "v2 is failed; v1 serves"),
        ("Inconclusive", "failure", "v2 is inconclusive; v1 serves"),
    ],
)
def test_the_last_status_is_the_verdict(verdict: Verdict, state: str, description: str) -> None:
    host = serving_v1(NAME)
    host.verdicts[TWO] = verdict
    *before, last = told(host, host.declaring(wanted("v2")))
    assert last[:2] == (state, f"gitops-ml/dev/{NAME}") and last[2].startswith(description)
    assert {each[0] for each in before[1:]} <= {"pending"}, "the first one is of the version that served before"


def test_statuses_and_deployments_name_the_page_of_their_deployment() -> None:
    heard: list[CommitStatus | ForgeDeployment] = []
    host = serving_v1(NAME)
    reporter = StatusReporter(heard.append, pytest.fail, heard.append, "https://ml.example.org")
    sync(host.declaring(wanted("v2")), on_look=reporter.tell)
    reporter.close()
    assert {type(each) for each in heard} == {CommitStatus, ForgeDeployment}
    assert {each.page for each in heard} == {f"https://ml.example.org/dev/{NAME}/index.html"}


def test_a_canary_is_pending_until_its_users_decide() -> None:
    host, environment = bad_canary(NAME)
    told_of = [(s, d) for s, c, d in told(host, environment) if c == f"gitops-ml/dev/{OTHER}"]
    assert ("pending", "canary of v2 is under way") in told_of
    assert told_of[-1][0] == "failure"


def test_a_hold_and_an_error_are_pending_at_the_tip() -> None:
    host = serving_v1(NAME)
    on_hold = host.declaring(wanted("v2", hold=Hold(reason="fair week")))
    assert told(host, on_hold)[-1][::2] == ("pending", "on hold: fair week")
    host.behaviour.trouble["image", NAME] = EngineFailed("its image cannot be built")
    assert told(host, host.declaring(wanted("v2")))[-1][0] == "pending"


def test_the_agents_passes_tell_each_verdict_once() -> None:
    statuses: list[CommitStatus] = []
    reporter = StatusReporter(statuses.append, lambda text: pytest.fail(text))
    host = serving_v1(NAME)
    environment = host.declaring(wanted("v2"))
    for _ in range(6):
        one_pass(environment, frozenset(), reporter.tell)
    reporter.close()
    assert [s.description for s in statuses if s.commit == generation("v2").commit][-1] == "v2 is Verified and serves"
    assert len({(s.commit, s.context, s.state, s.description) for s in statuses}) == len(statuses)


@pytest.mark.parametrize("problem", [ForgeUnavailable("GitHub does not answer"), ForgeRefused("GitHub answered 403")])
def test_a_forge_that_is_away_or_refuses_costs_its_statuses_alone(problem: GitopsError) -> None:
    said: list[str] = []
    tried: list[str] = []

    def away(one: CommitStatus) -> None:
        tried.append(one.description)
        raise problem

    reporter = StatusReporter(away, said.append)
    _, environment = bad_canary(NAME)
    result = sync(environment, on_look=reporter.tell)
    reporter.close()
    assert result.settled[OTHER] == ["failed"] and len(tried) > 2
    assert sorted(said) == [
        f"warning: gitops-ml/dev/{name} has no commit status: {problem}" for name in sorted((NAME, OTHER))
    ], "each text once"


def test_a_hanging_forge_delays_no_pass_and_an_end_for_a_bounded_time() -> None:
    said: list[str] = []
    never = threading.Event()

    def hang(one: CommitStatus) -> None:
        never.wait(20)

    reporter = StatusReporter(hang, said.append)
    _, environment = bad_canary(NAME)
    assert sync(environment, on_look=reporter.tell).settled[OTHER] == ["failed"]
    reporter.close(patience=0.05)
    assert said == ["warning: not every commit status was set: the forge is slow"]
    never.set()


def test_a_description_is_no_longer_than_a_forge_takes() -> None:
    host = serving_v1(NAME)
    environment = host.declaring(wanted("v2", hold=Hold(reason="because " * 50)))
    assert max(len(description) for _, _, description in told(host, environment)) <= 140
