"""Deployments on a forge follow the verdicts of real passes over a simulated host."""

from __future__ import annotations

import msgspec
import pytest

from gitops_ml.control.statuses import StatusReporter
from gitops_ml.control.sync import sync
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.pull_request.deployments import ForgeDeployment
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import ForgeRefused
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import TWO, serving_v1
from tests.unit.simulated_host import Host


def at(version: str, **fields: str) -> PlannedDeployment:
    """A declaration with a commit of its own."""
    declared = wanted(version, **fields)  # type: ignore[arg-type]
    commit = version[-1] * 40
    return msgspec.structs.replace(
        declared, generation=msgspec.structs.replace(declared.generation, commit=commit), endpoint=fields.get("url", "")
    )


def told(host: Host, *declared: PlannedDeployment) -> list[ForgeDeployment]:
    """What a forge hears while each of these is declared and synced, one after the other."""
    heard: list[ForgeDeployment] = []
    reporter = StatusReporter(lambda status: None, lambda text: pytest.fail(text), heard.append)
    for each in declared:
        sync(host.declaring(each), on_look=reporter.tell)
    reporter.close()
    host.require_safe()
    return heard


def stages(heard: list[ForgeDeployment], version: str) -> list[tuple[str, ...]]:
    return [tuple(s.state for s in each.stages) for each in heard if each.commit == version[-1] * 40]


def test_from_queued_to_success_and_inactive_when_another_one_serves() -> None:
    heard = told(serving_v1(NAME), at("v2", strategy="canary"), at("v3"))
    assert {each.place for each in heard} == {f"dev/{NAME}"}
    second = stages(heard, "v2")
    assert second[0] == ("queued",) and ("in_progress",) in second
    assert second[-2:] == [("success",), ("success", "inactive")]
    assert stages(heard, "v3")[-1] == ("success",)
    last = [each for each in heard if each.commit == "2" * 40][-1]
    assert last.stages[-1].description == "v2 was replaced: v3 serves now"


@pytest.mark.parametrize("verdict", ["Failed", "Inconclusive"])
def test_a_failure_stays_one_until_it_is_no_longer_declared(verdict: Verdict) -> None:
    host = serving_v1(NAME)
    host.verdicts[TWO] = verdict
    heard = told(host, at("v2"), at("v1"))
    assert stages(heard, "v2")[-2:] == [("failure",), ("failure", "inactive")]
    failed = [each for each in heard if each.commit == "2" * 40][-1]
    assert failed.stages[0].description.startswith(f"v2 is {verdict.lower()}; v1 serves")
    assert failed.record and failed.record.path == f"environments/dev/records/{NAME}.yaml"


def test_a_rollout_that_a_newer_commit_ends_is_inactive() -> None:
    host = serving_v1(NAME)
    host.pass_(at("v2", strategy="canary"))
    assert stages(told(host, at("v3")), "v2")[-1] == ("inactive",)


def test_a_forge_that_refuses_deployments_still_gets_statuses() -> None:
    statuses, said = list[str](), list[str]()

    def refuse(deployment: ForgeDeployment) -> None:
        raise ForgeRefused("GitHub answered 403", why="no right", fix="give it")

    reporter = StatusReporter(lambda status: statuses.append(status.state), said.append, refuse)
    sync(serving_v1(NAME).declaring(at("v2")), on_look=reporter.tell)
    reporter.close()
    assert statuses[-1] == "success"
    assert said == [f"warning: dev/{NAME} has no deployment: GitHub answered 403: no right\n  fix: give it"]


@pytest.mark.parametrize(
    ("endpoint", "shown"),
    [
        ("http://10.1.2.3:8080/v2/models/churn", True),
        ("http://[2001:db8::1]:8080/v2/models/churn", True),
        ("http://127.0.0.1:8080/v2/models/churn", False),
        ("http://127.9.0.1:8080/v2/models/churn", False),
        ("http://0.0.0.0:8080/v2/models/churn", False),
        ("http://[::1]:8080/v2/models/churn", False),
    ],
)
def test_users_are_sent_where_they_can_go(endpoint: str, shown: bool) -> None:
    host = serving_v1(NAME)
    declared = msgspec.structs.replace(at("v2"), endpoint=endpoint)
    assert told(host, declared)[-1].url == (endpoint if shown else "")
