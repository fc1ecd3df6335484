"""Waiting for a verdict: it is over when the record is in Git, and a revert does not hide a failure."""

from __future__ import annotations

import pytest

from gitops_ml.control.reconciler import reconcile
from gitops_ml.control.wait import WaitResult, wait
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.core.verification.verdict import Verdict
from gitops_ml.errors import EngineUnavailable, InputError, SourceError, SourceUnavailable, Temporary
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import OTHER, TWO, serving_v1
from tests.unit.simulated_host import Host, SimulatedEnvironment


def waited(environment: SimulatedEnvironment, deployment: str | None = None, timeout: float = 60.0) -> WaitResult:
    return wait(environment, deployment, timeout=timeout, interval=1.0)


def agent_beside(host: Host, environment: SimulatedEnvironment, *, revert_to: PlannedDeployment | None = None) -> None:
    """Have somebody else reconcile the environment after the first look; a failure is reverted in Git."""
    other = host.declaring(*environment.declared)

    def pass_on() -> None:
        if environment.plans:
            reconcile(other)
        if revert_to and any(a.outcome == "failed" and a.recorded for a in host.state(NAME).attempts):
            other.declared = environment.declared = (revert_to,)

    environment.on_look = pass_on


@pytest.mark.parametrize(("verdict", "code"), [("Verified", 0), ("Failed", 3), ("Inconclusive", 4)])
def test_waiting_ends_with_the_verdict(verdict: Verdict, code: int) -> None:
    host = serving_v1(NAME)
    host.verdicts[TWO] = verdict
    environment = host.declaring(wanted("v2"))
    agent_beside(host, environment)
    settled = waited(environment)
    assert (dict(settled.verdicts), settled.exit_code) == ({NAME: verdict}, code)
    assert not host.state(NAME).open and all(a.recorded for a in host.state(NAME).attempts)


def test_a_failed_version_that_was_reverted_has_failed() -> None:
    """The tip declares the version before again, and that one is Verified."""
    host = serving_v1(NAME)
    host.verdicts[TWO] = "Failed"
    environment = host.declaring(wanted("v2"))
    agent_beside(host, environment, revert_to=wanted("v1"))
    settled = waited(environment)
    assert host.serves(NAME) == ["1" * 12] and settled.view.plan.statuses[0].verification == "Verified"
    assert settled.exit_code == 3


def test_nothing_to_wait_for() -> None:
    environment = serving_v1(NAME).declaring(wanted("v1"))
    settled = waited(environment)
    assert (settled.exit_code, environment.slept) == (0, 0.0)


def test_one_deployment_is_waited_for_whatever_another_does() -> None:
    host = serving_v1(NAME, OTHER)
    environment = host.declaring(wanted("v1"), wanted("v2", name=OTHER))
    settled = waited(environment, NAME)
    assert list(settled.verdicts) == [NAME] and settled.exit_code == 0 and environment.slept == 0.0


def test_no_verdict_in_time() -> None:
    """Nobody rolls it out."""
    environment = serving_v1(NAME).declaring(wanted("v2"))
    with pytest.raises(SourceError, match=r"no verdict on .* within 5 s.*begin .*because v2") as raised:
        waited(environment, timeout=5.0)
    assert "gitops-ml sync" in raised.value.fix
    assert environment.slept <= 5.0


@pytest.mark.parametrize("error", [SourceUnavailable("the remote is away"), EngineUnavailable("the engine is away")])
def test_an_outage_is_outlasted(error: Temporary) -> None:
    environment = serving_v1(NAME).declaring(wanted("v1"))
    away = 3

    def answer_late() -> None:
        nonlocal away
        away -= 1
        if away >= 0:
            raise error

    environment.on_look = answer_late
    assert waited(environment).exit_code == 0
    assert environment.reported == [f"{environment.environment}: {error.what}"]
    away = 100
    with pytest.raises(type(error)):
        waited(environment, timeout=10.0)


def test_a_declaration_that_is_absent_or_broken() -> None:
    host = serving_v1(NAME)
    with pytest.raises(InputError, match="is not declared in commit .*declared: " + NAME):
        waited(host.declaring(wanted("v1")), "spam")
    environment = host.declaring(wanted("v1"))
    environment.broken = {OTHER: "file.yaml:3: wrong\n  fix: edit it"}
    assert waited(environment, NAME).exit_code == 0
    with pytest.raises(InputError, match=r"file.yaml:3: wrong") as raised:
        waited(environment)
    assert raised.value.fix == "edit it"
