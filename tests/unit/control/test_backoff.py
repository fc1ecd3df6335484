"""What back-off holds up, and what it never does: a canary is watched and ended, what serves is healed."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence

import msgspec
import pytest

from gitops_ml.control.agent.passes import one_pass
from gitops_ml.control.agent.turns import PassResult, Turns
from gitops_ml.control.backoff import ENVIRONMENT, UPKEEP, Backoff, healing_of
from gitops_ml.control.execution import executor
from gitops_ml.control.reconciler import reconcile
from gitops_ml.control.session import Progress, Question
from gitops_ml.core.generation import ContainerSpec, owner_labels
from gitops_ml.core.planning import plan
from gitops_ml.errors import EngineFailed, GitopsError, InputError
from tests.unit.builders import ENVIRONMENT as DEV
from tests.unit.builders import NAME, PROJECT, container, generation, wanted
from tests.unit.control.threaded import ThreadedSession, until
from tests.unit.simulated_host import Host, SimulatedEnvironment
from tests.unit.simulated_session import SimulatedServers, SimulatedSession

OTHER = "other"
ONE, TWO, THREE = "1" * 12, "2" * 12, "3" * 12


class FullHost(Host):
    """A host that cannot start v1 again."""

    error: GitopsError | None = None

    def create(self, spec: ContainerSpec, image: str) -> str:
        if self.error and ONE in str(spec.labels):
            raise self.error.with_traceback(None)
        return super().create(spec, image)


def serving_v1(*names: str, replicas: int = 1) -> FullHost:
    host = FullHost()
    host.settle(*(wanted("v1", name, replicas=replicas) for name in names))
    return host


def broken_incumbent(error: GitopsError) -> tuple[FullHost, SimulatedEnvironment]:
    """A canary whose incumbent loses one of two replicas, and cannot be healed."""
    host = serving_v1(OTHER, replicas=2)
    environment = host.declaring(wanted("v2", OTHER, replicas=2, strategy="canary"))

    def lose_a_replica() -> None:
        state = host.state(OTHER).open
        if state and state.routed and not host.error:
            host.error = error
            host.kill(next(c for c in host.replicas(OTHER) if c.generation == ONE).id)

    environment.on_look = lose_a_replica
    return host, environment


def watches(monkeypatch: pytest.MonkeyPatch, quiet: int) -> list[float]:
    """The moments of all watches. The first `quiet` of them meet no request, in 2 s each."""
    moments: list[float] = []
    count = SimulatedServers.count

    def counted(servers: SimulatedServers, *args, **named) -> Progress:  # type: ignore[no-untyped-def]
        moments.append(servers._engine.seconds)
        if len(moments) > quiet:
            return count(servers, *args, **named)
        servers._engine.seconds += 2
        return Progress(cursor="")

    monkeypatch.setattr(SimulatedServers, "count", counted)
    return moments


ERRORS = [EngineFailed("no memory is left"), InputError("the file of a secret is gone")]


@pytest.mark.parametrize("error", ERRORS)
def test_a_sync_watches_a_canary_to_its_end_although_its_incumbent_cannot_be_healed(
    error: GitopsError, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = watches(monkeypatch, quiet=30)
    host, environment = broken_incumbent(error)
    host.traffic[TWO] = "Failed"
    result = host.sync(environment)
    assert len(moments) > 30 and result.settled[OTHER] == ["failed"]
    assert host.serves(OTHER) == [ONE] and result.errors == {OTHER: error} and result.exit_code == 1


@pytest.mark.parametrize("error", ERRORS)
def test_the_agent_judges_a_canary_by_its_timeout_although_its_incumbent_cannot_be_healed(
    error: GitopsError, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments = watches(monkeypatch, quiet=10**9)
    host, environment = broken_incumbent(error)
    turns, healings = Turns(30.0, lambda: 1.0, 0.0), 0
    while host.seconds < 900:
        resting = turns.resting(host.seconds)
        result = one_pass(environment, resting)
        healings += healing_of(OTHER) in result.errors
        host.seconds += 0.1
        turns.ended(result, resting, host.seconds)
        host.seconds = turns.due
    assert len(moments) > 200 and max(b - a for a, b in itertools.pairwise(moments)) < 10
    assert [a.outcome for a in host.state(OTHER).attempts] == ["promoted", "inconclusive"]
    assert host.serves(OTHER) == [ONE] and 10 < healings < 60
    assert set(turns.trouble) == {healing_of(OTHER)}


def test_a_rollout_in_back_off_is_watched_and_ended_and_begins_nothing() -> None:
    of = generation("v2")
    host = serving_v1(NAME)
    canary = wanted("v2", strategy="canary")
    host.pass_(canary)
    watch = next(action for action in host.look(canary).actions if isinstance(action, plan.Watch))
    start = plan.Start(deployment=NAME, generation=of, replicas=(0,), because="-")
    heal = msgspec.structs.replace(start, healing=True)
    settle = plan.Settle(deployment=NAME, generation=of, attempt="a", outcome="failed", because="-")
    backoff = Backoff(resting=[NAME])
    assert backoff.due([heal, start, watch]) == [heal, watch]
    assert backoff.due([heal, start, settle]) == [heal, start, settle]
    assert Backoff(resting=[healing_of(NAME)]).due([heal, start]) == [start]


def test_a_failure_of_what_rests_makes_no_wait_longer() -> None:
    turns = Turns(30.0, lambda: 1.0, 0.0)
    turns.ended(PassResult({NAME: EngineFailed("no space")}), frozenset(), 0.0)
    before = turns.trouble[NAME]
    turns.ended(PassResult({NAME: EngineFailed("no memory")}), frozenset([NAME]), 0.5)
    after = turns.trouble[NAME]
    assert (after.failures, after.retry_at) == (before.failures, before.retry_at) and "memory" in after.message


def test_what_serves_is_healed_at_least_every_interval() -> None:
    turns, now = Turns(10.0, lambda: 1.0, 0.0), 0.0
    for _ in range(12):
        turns.ended(PassResult({healing_of(NAME): EngineFailed("no memory")}), turns.resting(now), now)
        now = turns.due
        assert not turns.resting(now)
    assert now <= 120.0


def test_an_orphan_that_cannot_be_removed_holds_up_no_canary(monkeypatch: pytest.MonkeyPatch) -> None:
    watches(monkeypatch, quiet=10**9)
    host = serving_v1(OTHER)
    spec = ContainerSpec(name="probe", image="probe", labels=owner_labels(PROJECT, DEV, "probe"), network=None)
    orphan = container(spec, image_id="sha256:probe", created=-10_000)
    host.containers[orphan.id] = orphan

    remove = host.remove

    def refuse(name: str) -> None:
        if name == orphan.id:
            raise EngineFailed("it cannot be removed")
        remove(name)

    monkeypatch.setattr(host, "remove", refuse)
    environment = host.declaring(wanted("v2", OTHER, strategy="canary"))
    turns, now = Turns(30.0, lambda: 1.0, 0.0), 0.0
    results = []
    for _ in range(8):
        resting = turns.resting(now)
        results.append(one_pass(environment, resting))
        turns.ended(results[-1], resting, now)
        now = turns.due
    assert UPKEEP in results[0].errors and not any(ENVIRONMENT in result.errors for result in results)
    assert results[-1].watching and now < 5.0


# --- work beside each other ------------------------------------------------------------------------------------------


@pytest.fixture
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(executor, "LOOK_ALONE_EVERY", 0.05)


def outcomes(host: Host, name: str) -> Sequence[str | None]:
    return [attempt.outcome for attempt in host.state(name).attempts]


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize("bad_from", [1, 2])
def test_a_canary_that_turns_bad_late_is_called_off_while_another_deployment_is_checked(
    bad_from: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = serving_v1(NAME, OTHER)
    count = SimulatedServers.count

    def turns_bad(servers: SimulatedServers, watch: plan.Watch, *args) -> Progress:  # type: ignore[no-untyped-def]
        host.traffic[TWO] = "Verified" if watch.stage < bad_from else "Failed"
        return count(servers, watch, *args)

    monkeypatch.setattr(SimulatedServers, "count", turns_bad)
    environment = host.declaring(wanted("v3"), wanted("v2", OTHER, strategy="canary"))
    environment.session_type = ThreadedSession
    seen, ended = [], ["promoted", "failed"]
    host.behaviour.slow[NAME] = lambda: seen.append(until(host, lambda: outcomes(host, OTHER) == ended))
    reconcile(environment)
    assert seen == [True] and host.serves(OTHER) == [ONE]
    host.require_safe()


@pytest.mark.usefixtures("quick_looks")
@pytest.mark.parametrize("strategy", ["blue-green", "canary"])
def test_what_serves_is_healed_while_its_own_candidate_is_checked(strategy: str) -> None:
    host = serving_v1(NAME)
    environment = host.declaring(wanted("v3", strategy=strategy))
    environment.session_type = ThreadedSession
    healed = []

    def slow_checks() -> None:
        del host.behaviour.slow[NAME]
        host.kill(next(c for c in host.replicas(NAME) if c.generation == ONE).id)
        healed.append(until(host, lambda: host.serves(NAME) == [ONE]))

    host.behaviour.slow[NAME] = slow_checks
    reconcile(environment)
    assert healed == [True]
    assert len([c for c in host.replicas(NAME) if c.generation == ONE and c.state == "running"]) <= 1
    host.require_safe()


@pytest.mark.usefixtures("quick_looks")
def test_the_successor_of_a_superseded_candidate_is_not_superseded(monkeypatch: pytest.MonkeyPatch) -> None:
    host = serving_v1(NAME, OTHER)
    environment = host.declaring(wanted("v3"), wanted("v2", OTHER))
    sessions: list[SimulatedSession] = []

    class Kept(ThreadedSession):
        def __init__(self, *args) -> None:  # type: ignore[no-untyped-def]
            super().__init__(*args)
            sessions.append(self)

    environment.session_type = Kept
    ask, newer = SimulatedServers.ask, threading.Event()

    def ask_until_newer(servers: SimulatedServers, question: Question, go_on):  # type: ignore[no-untyped-def]
        if question.generation.deployment == OTHER and question.generation.version == "v2":
            environment.declared, environment.last = (wanted("v3"), wanted("v4", OTHER)), None
            sessions[-1].supersede(OTHER, TWO)
            newer.set()
        return ask(servers, question, go_on)

    monkeypatch.setattr(SimulatedServers, "ask", ask_until_newer)
    seen = []
    host.behaviour.slow[NAME] = lambda: seen.append(until(host, lambda: host.serves(OTHER) == ["4" * 12]))
    reconcile(environment)
    assert newer.is_set() and seen == [True]
    assert outcomes(host, OTHER) == ["promoted", "superseded", "promoted"]
