"""The agent's loop, in simulated time: no environment's trouble touches another one, the clone or the agent."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops_ml.control.agent.loop import STOP_SECONDS
from gitops_ml.control.agent.turns import LONGEST_BACKOFF, MOST_PASSES, WATCH_EVERY, PassResult, Turns
from gitops_ml.control.agent.world import Tip
from gitops_ml.control.backoff import ENVIRONMENT, RECORD
from gitops_ml.errors import EngineFailed, EngineUnavailable, LockHeld, PushRejected, SourceUnavailable
from tests.effort import examples
from tests.unit.control.simulated_world import IDLE, Outcome, Outcomes, Simulation, always, in_order

FIRST, SECOND = "a" * 40, "b" * 40
BUSY = PassResult(unfinished=True)
WATCHING = PassResult(unfinished=True, watching=True)

ERRORS: list[Callable[[], BaseException]] = [
    lambda: EngineUnavailable("the engine does not answer"),
    lambda: SourceUnavailable("the remote does not answer"),
    lambda: LockHeld("held by ada for 3 s"),
    lambda: PushRejected("the remote refused"),
    lambda: KeyError("example"),
    lambda: RecursionError(),
    lambda: MemoryError(),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
    lambda: SystemExit(1),
    lambda: KeyboardInterrupt(),
]
errors = st.sampled_from(ERRORS).map(lambda make: make())
results = st.builds(
    PassResult,
    errors=st.dictionaries(st.sampled_from(["churn", "fraud", RECORD]), errors),
    unfinished=st.booleans(),
    watching=st.booleans(),
)


def gaps(moments: list[float]) -> list[float]:
    """Seconds between each moment and the next."""
    return [round(later - earlier, 3) for earlier, later in itertools.pairwise(moments)]


def then_idle(*outcomes: Outcome) -> Outcomes:
    """Passes that come to one thing after the other, and then find nothing to do."""
    return in_order(itertools.chain(outcomes, itertools.repeat(IDLE)))


def tips(*steps: tuple[float, Tip | Exception]) -> Callable[[float], Tip]:
    """What is fetched: each step from its moment on."""

    def fetch(now: float) -> Tip:
        tip = [tip for since, tip in steps if since <= now][-1]
        if isinstance(tip, Exception):
            raise tip
        return tip

    return fetch


# --- one environment beside another


@settings(max_examples=examples(50))
@given(st.lists(errors | results, min_size=1, max_size=30), st.floats(0.05, 200.0))
def test_whatever_passes_over_one_environment_come_to_the_turns_of_others_come_on_time(
    outcomes: list[Outcome], takes: float
) -> None:
    bad = {"dev": in_order(itertools.cycle(outcomes))}
    done = Simulation(outcomes=bad, takes={"dev": takes}, interval=10).run(100)
    assert gaps(done.passes["prod"].began) == [10.1] * 9


def test_a_pass_that_lasts_for_minutes_delays_nobody() -> None:
    done = Simulation(takes={"dev": 250.0}, interval=5).run(200)
    assert done.passes["dev"].began == [0.0]
    assert set(gaps(done.passes["prod"].began)) == {5.1}


@pytest.mark.parametrize("make", ERRORS)
def test_whatever_a_pass_raises_the_environment_is_tried_again(make: Callable[[], BaseException]) -> None:
    done = Simulation(outcomes={"dev": then_idle(make())}).run(10)
    assert done.passes["dev"].began == [0.0, 1.1]
    assert [line for line in done.reported if line == "recovered dev"] == ["recovered dev"]


def test_what_nobody_foresaw_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "gitops_ml"):
        done = Simulation(outcomes={"dev": then_idle(ZeroDivisionError("by nought"))}).run(10)
    assert "error dev: unforeseen ZeroDivisionError: by nought" in done.reported
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


# --- back-off


def test_the_wait_doubles_up_to_five_minutes() -> None:
    down = {"dev": always(EngineUnavailable("gone"))}
    waits = gaps(Simulation(outcomes=down, takes={"dev": 0.0}).run(2000).passes["dev"].began)
    assert waits[:10] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, LONGEST_BACKOFF]


def test_the_same_trouble_is_said_once_and_so_is_its_end() -> None:
    held = [LockHeld(f"dev is held by ada for {n} s") for n in range(5)]
    done = Simulation(outcomes={"dev": then_idle(*held)}).run(100)
    about_dev = [line for line in done.reported if " dev" in line and "reconcile" not in line]
    assert about_dev == ["error dev: dev is held by ada for 0 s", "recovered dev"]


def test_a_lock_that_another_process_holds_is_asked_for_at_every_interval() -> None:
    held = {"dev": always(LockHeld("held"))}
    waits = gaps(Simulation(outcomes=held, takes={"dev": 0.0}, interval=5).run(300).passes["dev"].began)
    assert max(waits) == 5.0


def test_a_deployment_that_fails_rests_while_the_others_have_their_turns() -> None:
    failing = PassResult({"churn": EngineFailed("its image cannot be built")})
    outcomes = {"dev": lambda resting: IDLE if "churn" in resting else failing}
    passes = Simulation(outcomes=outcomes, takes={"dev": 0.0}, interval=10).run(1000).passes["dev"]
    tried = [at for at, resting in zip(passes.began, passes.resting, strict=True) if "churn" not in resting]
    assert gaps(tried)[:7] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    assert max(gaps(passes.began)) <= 10.0


@given(st.lists(st.sampled_from(["churn", "fraud", RECORD]), min_size=1, max_size=3, unique=True))
def test_a_canary_is_watched_whatever_happens_to_other_deployments_and_to_the_record(others: list[str]) -> None:
    trouble: dict[str, BaseException] = {name: PushRejected("refused") for name in others}
    watched = always(PassResult(trouble, unfinished=True, watching=True))
    done = Simulation(outcomes={"dev": watched}, takes={"dev": 2.0}).run(200)
    assert set(gaps(done.passes["dev"].began)) == {2.3}


def test_an_environment_with_something_to_do_is_visited_at_once() -> None:
    done = Simulation(outcomes={"dev": then_idle(BUSY, BUSY)}).run(20)
    assert done.passes["dev"].began == [0.0, 0.1, 0.2]


def test_passes_that_undo_each_other_do_not_go_on_at_once_for_ever() -> None:
    done = Simulation(outcomes={"dev": always(BUSY)}, takes={"dev": 0.0}).run(100)
    assert len(done.passes["dev"].began) <= MOST_PASSES + 4


# --- the clone


def test_the_clone_is_fetched_once_per_interval_for_all_environments() -> None:
    done = Simulation().run(100)
    assert done.fetched == [0.0, 30.0, 60.0, 90.0]


def test_the_clone_is_fetched_every_second_while_a_candidate_is_watched() -> None:
    done = Simulation(outcomes={"dev": always(WATCHING)}, takes={"dev": 2.0}).run(60)
    assert max(gaps(done.fetched)) <= 2.0
    done = Simulation(takes={"dev": 50.0}).run(50)
    assert max(gaps(done.fetched)) <= 2.0


def test_a_new_commit_makes_every_environment_due_at_once() -> None:
    fetch = tips((0, Tip(FIRST, ("dev", "prod"))), (25, Tip(SECOND, ("dev", "prod"))))
    down = {"dev": then_idle(*[EngineUnavailable("gone")] * 6)}
    done = Simulation(outcomes=down, tips=fetch).run(40)
    assert 30.0 in done.passes["prod"].began
    assert 30.0 in done.passes["dev"].began


def test_a_new_commit_during_a_pass_makes_the_next_pass_due_at_its_end() -> None:
    fetch = tips((0, Tip(FIRST, ("dev", "prod"))), (2.5, Tip(SECOND, ("dev", "prod"))))
    done = Simulation(takes={"dev": 5.0}, tips=fetch).run(20)
    assert done.passes["dev"].began[:2] == [0.0, 5.0]


@pytest.mark.parametrize("environments", [("dev", "prod"), ("dev",), ("dev@leeds", "dev@york")])
def test_a_commit_that_changes_records_alone_begins_no_pass_and_ends_no_back_off(environments: tuple[str, ...]) -> None:
    def tip(commit: str, records: str) -> Tip:
        return Tip(commit, environments, records=records, rest="the same")

    down = {environments[0]: always(EngineUnavailable("gone"))}
    undisturbed = Simulation(outcomes=down, tips=lambda _: tip(FIRST, "before")).run(100)
    recorded = tips((0, tip(FIRST, "before")), (25, tip(SECOND, "after")), (55, tip("c" * 40, "still later")))
    done = Simulation(outcomes=down, tips=recorded).run(100)
    assert {name: passes.began for name, passes in done.passes.items()} == {
        name: passes.began for name, passes in undisturbed.passes.items()
    }


def test_a_host_that_waits_for_others_is_visited_when_these_have_recorded() -> None:
    def tip(commit: str, records: str) -> Tip:
        return Tip(commit, ("dev@leeds", "dev@york", "prod"), records=records, rest="the same")

    waiting = always(PassResult({"fraud": EngineFailed("its image cannot be built")}, waits_for_hosts=True))
    recorded = tips((0, tip(FIRST, "before")), (65, tip(SECOND, "after")))
    done = Simulation({"dev@york": waiting}, tips=recorded, interval=30.0).run(100)
    york = done.passes["dev@york"]
    assert 90.0 in york.began and 90.0 not in done.passes["prod"].began + done.passes["dev@leeds"].began
    assert "fraud" in york.resting[york.began.index(90.0)], "its back-off goes on"


def test_a_commit_that_changes_nothing_makes_every_environment_due() -> None:
    """People push an empty commit to have things tried again."""
    fetch = tips((0, Tip(FIRST, ("dev",), rest="the same")), (25, Tip(SECOND, ("dev",), rest="the same")))
    assert 30.0 in Simulation(tips=fetch).run(40).passes["dev"].began


def test_an_outage_is_said_once_and_healing_goes_on_meanwhile() -> None:
    down = SourceUnavailable("the remote could not be fetched")
    fetch = tips(
        (0, Tip(FIRST, ("dev",))),
        (20, Tip(FIRST, ("dev",), down)),
        (120, Tip(FIRST, ("dev",))),
    )
    done = Simulation(tips=fetch, interval=10).run(200)
    assert max(gaps(done.passes["dev"].began)) <= 10.2
    assert [line for line in done.reported if "remote" in line] == [
        "error: the remote could not be fetched",
        "recovered: the remote answers again",
    ]


def test_after_an_outage_nothing_waits_for_its_back_off() -> None:
    down = SourceUnavailable("the remote could not be fetched")
    fetch = tips((0, Tip(FIRST, ("dev",), down)), (90, Tip(FIRST, ("dev",))))
    failing = {"dev": then_idle(*[EngineFailed("the bytes cannot be had")] * 7)}
    done = Simulation(outcomes=failing, tips=fetch, interval=10).run(200)
    assert 90.0 in done.passes["dev"].began


@given(errors.filter(lambda e: isinstance(e, Exception)))
def test_a_first_fetch_that_fails_is_tried_again(error: BaseException) -> None:
    assert isinstance(error, Exception)
    done = Simulation(tips=tips((0, error), (5, Tip(FIRST, ("dev",))))).run(60)
    assert done.fetched[:4] == [0.0, 1.0, 3.0, 7.0]
    assert done.passes["dev"].began[0] == 7.0


def test_new_environments_are_picked_up_and_vanished_ones_are_left_alone() -> None:
    fetch = tips(
        (0, Tip(FIRST, ("dev", "prod"))), (50, Tip(SECOND, ("dev", "staging"))), (110, Tip(FIRST, ("dev", "prod")))
    )
    done = Simulation(tips=fetch).run(200)
    assert done.passes["staging"].began == [60.0, 90.1]
    assert [line for line in done.reported if "prod" in line] == [
        "reconcile prod",
        f"error prod: environments/prod/environment.yaml is not in commit {SECOND[:12]}; what runs there is left alone"
        "\n  fix: restore environments/prod",
        "reconcile prod",
    ]
    assert done.passes["prod"].began[0] == 120.0


def test_an_environment_that_vanishes_during_its_pass_is_dropped_at_the_end_of_it() -> None:
    fetch = tips((0, Tip(FIRST, ("dev", "prod"))), (3, Tip(SECOND, ("prod",))))
    done = Simulation(takes={"dev": 20.0}, tips=fetch).run(100)
    assert done.passes["dev"].began == [0.0]
    assert done.passes["dev"].closed == 1


def test_an_environment_that_vanishes_with_an_open_canary_is_dropped_at_the_end_of_the_canary() -> None:
    """The engine is lost meanwhile, which tells nothing of the canary."""
    lost = EngineUnavailable("the engine does not answer")
    outcomes = then_idle(*[WATCHING] * 30, lost, *[WATCHING] * 10)
    fetch = tips((0, Tip(FIRST, ("dev", "prod"))), (3, Tip(SECOND, ("prod",))))
    done = Simulation({"dev": outcomes}, tips=fetch).run(100)
    assert len(done.passes["dev"].began) == 42
    assert (done.passes["dev"].closed, done.passes["dev"].began[-1] < 30) == (1, True)
    assert len([line for line in done.reported if "environments/dev/environment.yaml" in line]) == 1


def test_only_named_environments_are_reconciled_and_absent_ones_awaited() -> None:
    fetch = tips((0, Tip(FIRST, ("dev",))), (50, Tip(SECOND, ("dev", "prod"))))
    done = Simulation(tips=fetch, named=("prod",)).run(100)
    assert set(done.passes) == {"prod"}
    assert done.passes["prod"].began[0] == 60.0
    assert len([line for line in done.reported if "environments/prod/environment.yaml" in line]) == 1


def test_the_hosts_of_a_named_environment_are_reconciled_until_they_are_taken_out() -> None:
    two, one = Tip(FIRST, ("edge@leeds", "edge@york", "dev")), Tip(SECOND, ("edge@leeds",))
    fetch = tips((0, two), (50, one), (150, Tip(SECOND, ())))
    done = Simulation(tips=fetch, named=("edge",)).run(100)
    assert set(done.passes) == {"edge@leeds", "edge@york"}
    assert (done.passes["edge@leeds"].closed, done.passes["edge@york"].closed) == (1, 1)
    assert done.passes["edge@york"].began[-1] < done.passes["edge@leeds"].began[-1]
    assert not [line for line in done.reported if line.startswith("error")]
    assert two.absent(("edge@hull", "edge"), ()) == {"edge@hull"}
    assert one.absent((), ("dev", "edge@york", "prod@leeds")) == {"dev", "prod@leeds"}


# --- the end


def test_it_stops_at_once_when_nothing_is_under_way() -> None:
    done = Simulation().run(7.5)
    assert done.world.now() == 7.5
    assert [passes.closed for passes in done.passes.values()] == [1, 1]


def test_it_waits_for_the_end_of_a_pass_and_begins_no_other() -> None:
    done = Simulation(takes={"dev": 20.0, "prod": 0.1}).run(7.0)
    assert done.world.now() == 20.0
    assert done.passes["dev"].began == [0.0]


def test_it_does_not_wait_for_ever_for_a_pass_that_hangs() -> None:
    done = Simulation(takes={"dev": 10_000.0}).run(7.0)
    assert done.world.now() == 7.0 + STOP_SECONDS


def test_a_pass_that_was_stopped_is_no_trouble() -> None:
    simulation = Simulation(outcomes={"dev": always(KeyboardInterrupt())}, takes={"dev": 10.0})
    simulation.run(5.0)
    assert not [line for line in simulation.reported if line.startswith("error")]


# --- its parts


@given(st.lists(results | errors, max_size=30), st.floats(1.0, 1.2), st.floats(1.0, 3600.0))
def test_no_wait_is_longer_than_what_it_waits_for(
    outcomes: list[PassResult | BaseException], spread: float, interval: float
) -> None:
    turns, now = Turns(interval, lambda: spread, 0.0), 0.0
    for outcome in outcomes:
        result = PassResult({ENVIRONMENT: outcome}) if isinstance(outcome, BaseException) else outcome
        turns.ended(result, turns.resting(now), now)
        longest = LONGEST_BACKOFF if ENVIRONMENT in result.errors else WATCH_EVERY if result.watching else interval
        assert now <= turns.due <= now + longest
        assert all(trouble.retry_at <= now + LONGEST_BACKOFF for trouble in turns.trouble.values())
        now = turns.due
