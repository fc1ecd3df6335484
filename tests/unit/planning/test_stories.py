"""Whatever is declared and whatever happens to the host, the next passes converge."""

from __future__ import annotations

import contextlib

from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.core.declaration.schema import Hold
from gitops_ml.core.planning.context import PlannedDeployment
from tests.effort import examples
from tests.unit.builders import NAME, generation, wanted
from tests.unit.simulated_engine import Killed
from tests.unit.simulated_host import Host, dies_at, never, require_clean

ONE, TWO, THREE = "1" * 12, "2" * 12, "3" * 12
ALL = ["blue-green", "recreate", "canary", "shadow"]
STRATEGIES = st.sampled_from(ALL)
BUDGET = settings(max_examples=examples(150), deadline=None)


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
        self.version, self.replicas, self.strategy, self.on_hold = "v1", 1, "blue-green", False

    @property
    def declared(self) -> PlannedDeployment:
        hold = Hold(reason="fair week") if self.on_hold else None
        return wanted(self.version, replicas=self.replicas, strategy=self.strategy, hold=hold)

    def happens(self, kind: str, what: object) -> None:
        if kind == "declare":
            self.version = str(what)
        elif kind == "scale":
            self.replicas = int(str(what))
        elif kind == "strategy":
            self.strategy = str(what)
        elif kind == "hold":
            self.on_hold = bool(what)
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
            for container in [c for c in host.containers.values() if c.role == "gateway"]:
                host.kill(container.id)
        elif there:
            hurt = {"kill": host.kill, "remove": host.take_away, "tamper": host.tamper}[kind]
            hurt(there[number % len(there)])


@BUDGET
@given(st.lists(EVENTS, max_size=14), st.sampled_from(["Verified", "Failed", "Inconclusive"]))
def test_whatever_happens_the_host_converges(events: list[tuple[str, object]], verdict: str) -> None:
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
    if healthy and not story.on_hold:
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
