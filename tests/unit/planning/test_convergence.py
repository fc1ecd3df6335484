"""Killed at any instruction, the next passes converge, with nothing orphaned and users served all the while.

The plans are carried out on a host in memory (`simulated_host`), which fails the test itself when users are sent to
what was not verified, or lose what they are sent to. Hypothesis chooses where the process dies, what others do to the
host meanwhile, and what is declared next.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.control.environment.view import Options, View
from gitops_ml.core.declaration.schema import Hold
from gitops_ml.core.planning.context import PlannedDeployment
from gitops_ml.errors import EngineFailed, EngineUnavailable
from tests.effort import examples, stride
from tests.unit.builders import NAME, wanted
from tests.unit.simulated_engine import Killed
from tests.unit.simulated_host import Host, SimulatedEnvironment, dies_at, never, require_clean

ONE, TWO, THREE = "1" * 12, "2" * 12, "3" * 12
ALL = ["blue-green", "recreate", "canary", "shadow"]
STRATEGIES = st.sampled_from(ALL)
BUDGET = settings(max_examples=examples(150), deadline=None)


def running(version: str = "v1", *, replicas: int = 1, strategy: str = "blue-green") -> Host:
    """A host on which a version was rolled out and serves."""
    host = Host()
    host.settle(wanted(version, replicas=replicas, strategy=strategy))
    return host


def interrupted(host: Host, declared: PlannedDeployment, mutation: int) -> bool:
    """Run passes that die before their n-th mutation. Returns whether they got that far."""
    host.step = dies_at(mutation)
    try:
        host.settle(declared)
    except Killed:
        return True
    finally:
        host.step = never
    return False


# --- every single interruption of every kind of rollout ---------------------------------------------------------------


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize("verdict", ["Verified", "Failed", "Inconclusive"])
@pytest.mark.parametrize("first", [True, False])
def test_every_interruption_of_a_rollout_converges(strategy: str, verdict: str, first: bool) -> None:
    mutation = 0
    while True:
        host = Host() if first else running("v1", replicas=2, strategy=strategy)
        host.verdicts[TWO] = verdict  # type: ignore[assignment]
        declared = wanted("v2", replicas=2, strategy=strategy)
        died = interrupted(host, declared, mutation)
        if strategy != "recreate" and not first:
            assert len(host.serves(NAME)) >= 2, f"users were left alone by a death before mutation {mutation}"
        plan = host.settle(declared)
        if verdict == "Verified":
            require_clean(host, plan, "v2", 2)
            assert plan.statuses[0].sync == "Synced"
        elif first:
            assert host.serves(NAME) == [] and host.replicas(NAME) == [] and host.routes == {}
            assert (plan.statuses[0].health, plan.statuses[0].verification) == ("Missing", verdict)
        else:
            require_clean(host, plan, "v1", 2)
            assert (plan.statuses[0].sync, plan.statuses[0].verification) == ("OutOfSync", verdict)
        if not died:
            return
        mutation += stride(4)


@pytest.mark.parametrize("strategy", ["canary", "shadow"])
@pytest.mark.parametrize("verdict", ["Failed", "Inconclusive"])
def test_every_interruption_of_a_candidate_that_fails_on_traffic_converges(strategy: str, verdict: str) -> None:
    mutation = 0
    while True:
        host = running("v1", replicas=2, strategy=strategy)
        host.traffic[TWO] = verdict  # type: ignore[assignment]
        declared = wanted("v2", replicas=2, strategy=strategy)
        died = interrupted(host, declared, mutation)
        assert host.serves(NAME).count(ONE) == 2
        plan = host.settle(declared)
        require_clean(host, plan, "v1", 2)
        assert (plan.statuses[0].sync, plan.statuses[0].verification) == ("OutOfSync", verdict)
        if not died:
            return
        mutation += stride(4)


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize("to", ["v1", "v3"])
def test_a_newer_commit_preempts_at_every_stage(strategy: str, to: str) -> None:
    mutation = 0
    while True:
        host = running("v1", replicas=2, strategy=strategy)
        died = interrupted(host, wanted("v2", replicas=2, strategy=strategy), mutation)
        plan = host.settle(wanted(to, replicas=2, strategy=strategy))
        require_clean(host, plan, to, 2)
        assert plan.statuses[0].sync == "Synced"
        if not died:
            return
        mutation += stride(4)


@pytest.mark.parametrize("strategy", ALL)
def test_a_hold_at_every_stage_leaves_a_version_that_serves(strategy: str) -> None:
    mutation = 0
    while True:
        host = running("v1", replicas=2, strategy=strategy)
        died = interrupted(host, wanted("v2", replicas=2, strategy=strategy), mutation)
        plan = host.settle(wanted("v2", replicas=2, strategy=strategy, hold=Hold(reason="fair week")))
        serving = host.state(NAME).serving
        assert serving
        require_clean(host, plan, serving.version, 2)
        require_clean(host, host.settle(wanted("v2", replicas=2, strategy=strategy)), "v2", 2)
        if not died:
            return
        mutation += stride(4)


def test_a_withdrawal_converges_from_every_interruption() -> None:
    mutation = 0
    while True:
        host = Host()
        other = wanted(name="other")
        host.settle(wanted("v1", replicas=2), other)
        host.step = dies_at(mutation)
        try:
            host.settle(other)
            died = False
        except Killed:
            died = True
        host.step = never
        host.settle(other)
        assert host.replicas(NAME) == [] and NAME not in host.routes
        assert host.serves("other") == [ONE]
        if not died:
            return
        mutation += stride(4)


# --- a stale read -----------------------------------------------------------------------------------------------------


class StaleEnvironment(SimulatedEnvironment):
    """An environment whose first look shows what was there long ago. `stale` is set before a pass."""

    stale: View

    def look(self, options: Options, commit: str | None = None) -> View:
        return self.stale


@pytest.mark.parametrize("strategy", ALL)
@pytest.mark.parametrize("verdict", ["Verified", "Failed"])
def test_a_pass_that_begins_with_any_earlier_look_harms_nobody(strategy: str, verdict: str) -> None:
    """A stale read of the kind that Sieve tries (Sun et al., OSDI 2022)."""
    host = running("v1", strategy=strategy)
    host.verdicts[TWO] = verdict  # type: ignore[assignment]
    declared = wanted("v2", strategy=strategy)
    looks: list[View] = []
    host.step = lambda _: looks.append(host.declaring(declared).look(Options()))
    host.settle(declared)
    host.step = never
    assert len(looks) > 5
    for look in looks:
        environment = StaleEnvironment(host, host.behaviour, (declared,))
        environment.stale = look
        host.one_pass(environment)
        require_clean(host, host.settle(declared), "v2" if verdict == "Verified" else "v1", 1)


# --- trouble that is not the candidate's ------------------------------------------------------------------------------


def failing_at(mutations: set[int]) -> Callable[[str], None]:
    """A step that fails at these mutations, and works again afterwards."""
    count = -1

    def step(deployment: str) -> None:
        nonlocal count
        count += 1
        if count in mutations:
            raise EngineFailed("no space left on device") if count % 2 else EngineUnavailable("it does not answer")

    return step


@BUDGET
@given(trouble=st.sets(st.integers(0, 40), max_size=8), strategy=STRATEGIES, replicas=st.integers(1, 3))
def test_engine_errors_are_retried_and_never_quarantined(trouble: set[int], strategy: str, replicas: int) -> None:
    host = running("v1", strategy=strategy)
    host.step = failing_at(trouble)
    plan = host.settle(wanted("v2", replicas=replicas, strategy=strategy), passes=30)
    require_clean(host, plan, "v2", replicas)
    assert host.state(NAME).quarantine == ()


@pytest.mark.parametrize("strategy", ALL)
def test_an_incumbent_that_cannot_start_does_not_block_its_successor(strategy: str) -> None:
    host = running("v1", strategy=strategy)
    host.unstartable.add(ONE)
    for container in host.replicas(NAME):
        host.take_away(container.id)
    require_clean(host, host.settle(wanted("v2", strategy=strategy)), "v2", 1)


@pytest.mark.parametrize("strategy", ALL)
def test_a_bad_candidate_over_a_dead_incumbent_is_settled_and_the_next_one_begins(strategy: str) -> None:
    host = running("v1", strategy=strategy)
    host.unstartable.update({ONE, TWO})
    for container in host.replicas(NAME):
        host.take_away(container.id)
    for _ in range(6):
        host.pass_(wanted("v2", strategy=strategy))
    assert [a.outcome for a in host.state(NAME).attempts] == ["promoted", "failed"]
    require_clean(host, host.settle(wanted("v3", strategy=strategy)), "v3", 1)
