"""Killed at any instruction, the next passes converge, with nothing orphaned and users served all the while.

The plans are carried out on a host in memory (`simulated_host`), which fails the test itself when users are sent to
what was not verified, or lose what they are sent to. Hypothesis chooses where the process dies, what others do to the
host meanwhile, and what is declared next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.core.desired import Hold
from gitops_ml.core.plan import Plan
from gitops_ml.core.rollout_planner import Wanted
from gitops_ml.errors import EngineFailed, EngineUnavailable
from tests.unit.builders import NAME, generation, wanted
from tests.unit.simulated_host import Host, Killed

ONE, TWO, THREE = "1" * 12, "2" * 12, "3" * 12
STRATEGIES = st.sampled_from(["blue-green", "recreate"])
BUDGET = settings(max_examples=150, deadline=None)


def dies_at(mutation: int) -> Callable[[], None]:
    """A process that dies before its n-th mutation."""
    left = mutation

    def step() -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1

    return step


def never() -> None:
    pass


def running(version: str = "v1", *, replicas: int = 1, strategy: str = "blue-green") -> Host:
    """A host on which a version was rolled out and serves."""
    host = Host()
    host.settle(wanted(version, replicas=replicas, strategy=strategy))
    return host


def interrupted(host: Host, declared: Wanted, mutation: int) -> bool:
    """Passes that die before their n-th mutation; whether they came that far."""
    host.step = dies_at(mutation)
    try:
        host.settle(declared)
    except Killed:
        return True
    finally:
        host.step = never
    return False


def require_clean(host: Host, plan: Plan, version: str, replicas: int) -> None:
    """Nothing is left but the replicas of one version, all of them routed to, and the gateway."""
    mark = version[-1] * 12
    assert host.serves(NAME) == [mark] * replicas
    assert sorted((c.generation, c.replica) for c in host.replicas(NAME)) == [(mark, n) for n in range(replicas)]
    assert [c.role for c in host.containers.values()].count("gateway") == 1
    assert host.state(NAME).open is None


# --- every single interruption of every kind of rollout ---------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
@pytest.mark.parametrize("verdict", ["Verified", "Failed", "Inconclusive"])
@pytest.mark.parametrize("first", [True, False])
def test_every_interruption_of_a_rollout_converges(strategy: str, verdict: str, first: bool) -> None:
    mutation = 0
    while True:
        host = Host() if first else running("v1", replicas=2, strategy=strategy)
        host.verdicts[TWO] = verdict  # type: ignore[assignment]
        declared = wanted("v2", replicas=2, strategy=strategy)
        died = interrupted(host, declared, mutation)
        if strategy == "blue-green" and not first:
            assert len(host.serves(NAME)) == 2, f"users were left alone by a death before mutation {mutation}"
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
        mutation += 1


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
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
        mutation += 1


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
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
        mutation += 1


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
        mutation += 1


# --- trouble that is not the candidate's ------------------------------------------------------------------------------


def failing_at(mutations: set[int]) -> Callable[[], None]:
    """An engine that fails at these mutations, and works again."""
    count = -1

    def step() -> None:
        nonlocal count
        count += 1
        if count in mutations:
            raise EngineFailed("no space left on device") if count % 2 else EngineUnavailable("it does not answer")

    return step


@BUDGET
@given(trouble=st.sets(st.integers(0, 40), max_size=8), strategy=STRATEGIES, replicas=st.integers(1, 3))
def test_trouble_of_the_engine_is_tried_again_and_never_quarantined(
    trouble: set[int], strategy: str, replicas: int
) -> None:
    host = running("v1", strategy=strategy)
    host.step = failing_at(trouble)
    plan = host.settle(wanted("v2", replicas=replicas, strategy=strategy), passes=30)
    require_clean(host, plan, "v2", replicas)
    assert host.state(NAME).quarantine == ()


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
def test_an_incumbent_that_cannot_start_does_not_keep_its_successor_away(strategy: str) -> None:
    host = running("v1", strategy=strategy)
    host.unstartable.add(ONE)
    for found in host.replicas(NAME):
        host.take_away(found.id)
    require_clean(host, host.settle(wanted("v2", strategy=strategy)), "v2", 1)


@pytest.mark.parametrize("strategy", ["blue-green", "recreate"])
def test_a_bad_candidate_over_a_dead_incumbent_is_settled_and_the_next_one_gets_its_turn(strategy: str) -> None:
    host = running("v1", strategy=strategy)
    host.unstartable |= {ONE, TWO}
    for found in host.replicas(NAME):
        host.take_away(found.id)
    for _ in range(6):
        host.pass_(wanted("v2", strategy=strategy))
    assert [a.outcome for a in host.state(NAME).attempts] == ["promoted", "failed"]
    require_clean(host, host.settle(wanted("v3", strategy=strategy)), "v3", 1)


# --- anything at all --------------------------------------------------------------------------------------------------

EVENTS = st.one_of(
    st.tuples(st.just("declare"), st.sampled_from(["v1", "v2", "v3"])),
    st.tuples(st.just("scale"), st.integers(1, 3)),
    st.tuples(st.just("strategy"), STRATEGIES),
    st.tuples(st.just("hold"), st.booleans()),
    st.tuples(st.just("die"), st.integers(0, 25)),
    st.tuples(st.just("pass"), st.just(0)),
    st.tuples(st.just("kill"), st.integers(0, 9)),
    st.tuples(st.just("remove"), st.integers(0, 9)),
    st.tuples(st.just("tamper"), st.integers(0, 9)),
    st.tuples(st.just("break route"), st.integers(0, 1)),
    st.tuples(st.just("stop gateway"), st.just(0)),
)


class Story:
    """What is declared, and what happens to the host."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.version, self.replicas, self.strategy, self.held = "v1", 1, "blue-green", False

    @property
    def declared(self) -> Wanted:
        hold = Hold(reason="fair week") if self.held else None
        return wanted(self.version, replicas=self.replicas, strategy=self.strategy, hold=hold)

    def happens(self, kind: str, what: object) -> None:
        if kind == "declare":
            self.version = str(what)
        elif kind == "scale":
            self.replicas = int(str(what))
        elif kind == "strategy":
            self.strategy = str(what)
        elif kind == "hold":
            self.held = bool(what)
        elif kind == "pass":
            self.host.pass_(self.declared)
        elif kind == "die":
            self.host.step = dies_at(int(str(what)))
            with contextlib.suppress(Killed):
                self.host.pass_(self.declared)
            self.host.step = never
        else:
            self._damage(kind, int(str(what)))

    def _damage(self, kind: str, number: int) -> None:
        host = self.host
        there = sorted(c.id for c in host.replicas(NAME))
        if kind == "break route":
            host.routes[NAME] = b"{}"
            if number:
                host.routes.pop(NAME)
        elif kind == "stop gateway":
            for found in [c for c in host.containers.values() if c.role == "gateway"]:
                host.kill(found.id)
        elif there:
            hurt = {"kill": host.kill, "remove": host.take_away, "tamper": host.tamper}[kind]
            hurt(there[number % len(there)])


@BUDGET
@given(st.lists(EVENTS, max_size=14), st.sampled_from(["Verified", "Failed", "Inconclusive"]))
def test_whatever_happened_it_converges(events: list[tuple[str, object]], verdict: str) -> None:
    story = Story(Host())
    story.host.verdicts[THREE] = verdict  # type: ignore[assignment]
    for kind, what in events:
        story.happens(kind, what)
    plan = story.host.settle(story.declared)
    state = story.host.state(NAME)
    if state.serving:
        require_clean(story.host, plan, state.serving.version, story.replicas)
    else:
        assert story.host.replicas(NAME) == [] and NAME not in story.host.routes
    healthy = story.version in ("v1", "v2") or verdict == "Verified"
    if healthy and not story.held:
        assert state.serving and state.serving.version == story.version
        assert plan.statuses[0].sync == "Synced"


@BUDGET
@given(st.lists(EVENTS, max_size=10))
def test_a_pass_over_a_settled_host_does_nothing(events: list[tuple[str, object]]) -> None:
    story = Story(Host())
    for kind, what in events:
        story.happens(kind, what)
    story.host.settle(story.declared)
    assert story.host.look(story.declared).lines() == []


@BUDGET
@given(st.lists(EVENTS, max_size=12))
def test_no_trouble_with_one_deployment_touches_another(events: list[tuple[str, object]]) -> None:
    host = Host()
    other = wanted(name="other", replicas=2)
    story = Story(host)
    host.settle(story.declared, other)
    before = {c.id for c in host.replicas("other")}
    for kind, what in events:
        story.happens(kind, what) if kind not in ("pass", "die") else host.pass_(story.declared, other)
    host.settle(story.declared, other)
    assert {c.id for c in host.replicas("other")} == before
    assert host.serves("other") == [generation("v1").fingerprint] * 2
