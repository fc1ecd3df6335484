"""The status board holds what simulated agents and passes did, by the loop's clock."""

from __future__ import annotations

import itertools
import time

from gitops_ml.control.agent.health import LATE, liveness, readiness
from gitops_ml.control.agent.passes import one_pass
from gitops_ml.control.agent.status_board import PASS_SECONDS, Rollout, StatusBoard
from gitops_ml.control.agent.turns import PassResult
from gitops_ml.control.agent.world import Tip
from gitops_ml.control.backoff import ENVIRONMENT
from gitops_ml.control.environment.view import View
from gitops_ml.errors import EngineFailed, EngineUnavailable, SourceUnavailable
from tests.unit.builders import NAME, wanted
from tests.unit.control.canaries import TWO, serving_v1
from tests.unit.control.simulated_world import IDLE, Simulation, always, in_order

COMMIT = "a" * 40


def test_passes_are_counted_by_their_end_and_their_seconds() -> None:
    lost = EngineUnavailable("the engine does not answer")
    outcomes = {"dev": in_order(itertools.chain([IDLE, lost, PassResult({"churn": lost})], itertools.repeat(IDLE)))}
    done = Simulation(outcomes=outcomes, takes={"dev": 2.0}, interval=10.0).run(30)
    dev = done.agent.board.read().environments["dev"]
    assert (dev.passes, dev.failures) == (len(done.passes["dev"].began) - (dev.began is not None), 1)
    assert dev.took[PASS_SECONDS.index(3.0)] == dev.passes
    assert dev.seconds == 2.0 * dev.passes


def test_an_environment_whose_engine_is_lost_is_not_ready_and_the_others_are() -> None:
    lost = {"dev": always(EngineUnavailable("the engine does not answer"))}
    done = Simulation(outcomes=lost, interval=10.0).run(1000)
    ready = readiness(done.agent.board.read(), done.world.now(), within=60.0)
    assert not ready.ready
    assert ready.environments["dev"].reason == "the engine does not answer"
    assert ready.environments["prod"].ready and ready.environments["prod"].reason == ""


def test_a_pass_that_hangs_makes_its_environment_unready() -> None:
    done = Simulation(takes={"dev": 10_000.0}, interval=10.0).run(500)
    ready = readiness(done.agent.board.read(), done.world.now(), within=60.0)
    assert ready.environments["dev"].reason == "no pass has ended yet; one has been under way for 560 s"
    assert ready.environments["prod"].seconds is not None


def test_a_deployment_that_fails_leaves_its_environment_ready() -> None:
    broken = {"dev": always(PassResult({"churn": EngineFailed("its image cannot be built")}))}
    done = Simulation(outcomes=broken, interval=10.0).run(100)
    assert readiness(done.agent.board.read(), done.world.now(), within=60.0).ready


def test_an_agent_that_cannot_read_git_stays_ready_and_says_so() -> None:
    outage = SourceUnavailable("the remote does not answer")
    done = Simulation(tips=lambda now: Tip(COMMIT, ("dev",), outage if now > 50 else None), interval=10.0).run(200)
    status = done.agent.board.read()
    ready = readiness(status, done.world.now(), within=60.0)
    assert (ready.ready, ready.git) == (True, "the remote does not answer")
    assert status.fetch_failures > 3 and status.fetches > status.fetch_failures


def test_before_anything_was_fetched_the_agent_is_not_ready() -> None:
    assert readiness(StatusBoard(lambda: 0.0).read(), 0.0, 60.0).reason == "nothing has been fetched yet"

    def away(_: float) -> Tip:
        raise SourceUnavailable("the remote does not answer")

    done = Simulation(tips=away).run(10)
    assert readiness(done.agent.board.read(), 10.0, 60.0).reason == "the remote does not answer"


def test_an_environment_that_left_the_tip_is_no_longer_kept_and_not_ready() -> None:
    done = Simulation(tips=lambda now: Tip(COMMIT, ("dev", "prod") if now < 50 else ("prod",)), interval=10.0).run(200)
    status = done.agent.board.read()
    assert sorted(status.environments) == ["prod"]
    reason = readiness(status, done.world.now(), 60.0).environments["dev"].reason
    assert reason == f"environments/dev/environment.yaml is not in commit {COMMIT[:12]}"


def test_the_loop_is_alive_until_it_misses_its_turn() -> None:
    status = Simulation(interval=30.0).run(100).agent.board.read()
    assert liveness(status, status.next_turn + LATE).alive
    late = liveness(status, status.next_turn + LATE + 1)
    assert (late.alive, late.late) == (False, LATE + 1)


def test_a_rollout_is_counted_once_and_earlier_ones_are_not() -> None:
    board = StatusBoard(time.monotonic)
    board.took_up("dev")
    host = serving_v1(NAME)
    one_pass(host.declaring(wanted("v1")), frozenset(), board.looked)
    assert board.read().environments["dev"].rollouts == {}
    host.verdicts[TWO] = "Failed"
    seen: list[View] = []

    def on_look(view: View) -> None:
        board.looked(view)
        seen.append(view)

    for _ in range(6):
        one_pass(host.declaring(wanted("v2")), frozenset(), on_look)
    assert board.read().environments["dev"].rollouts == {Rollout(NAME, "Failed", "failed"): 1}
    assert len(seen) > 6, "a pass that works on a deployment tells its later looks too"


def test_news_of_an_environment_that_is_not_kept_are_ignored() -> None:
    board = StatusBoard(time.monotonic)
    board.began("dev")
    board.ended("dev", {ENVIRONMENT: None}, succeeded=True)  # type: ignore[dict-item]
    assert board.read().environments == {}
