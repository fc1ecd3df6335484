"""What the engine tells: a pass at once where something stopped serving, and no storm of passes."""

from __future__ import annotations

import pytest

from gitops_ml.control.agent.turns import FIRST_BACKOFF
from gitops_ml.control.agent.world import Tip
from gitops_ml.errors import EngineUnavailable
from tests.unit.control.simulated_world import Simulation, always


def simulation(*stops: float, interval: float = 30.0, takes: float = 0.1) -> Simulation:
    """An agent over dev alone, in which something stops serving at these moments."""
    simulated = Simulation(interval=interval, takes={"dev": takes}, tips=lambda _: Tip("a" * 40, ("dev",)))
    for moment in stops:
        simulated.world.at(moment, lambda: simulated.agent.pass_soon("dev"))
    return simulated


def test_what_stops_serving_gets_a_pass_at_once() -> None:
    assert simulation(7.0).run(30).passes["dev"].began == [0.0, 7.0]


def test_what_stops_serving_during_a_pass_gets_another_pass() -> None:
    assert simulation(7.0, 9.0, takes=3.0).run(30).passes["dev"].began == [0.0, 7.0, 10.0]


def test_many_that_stop_together_get_one_pass_and_one_for_those_that_it_may_have_missed() -> None:
    assert simulation(*[7.0] * 200).run(30).passes["dev"].began == [0.0, 7.0, 8.0]


def test_what_stops_again_and_again_gets_fewer_and_fewer_passes_and_in_the_end_those_of_the_interval() -> None:
    stops = [1.0 + 0.5 * n for n in range(1200)]
    began = simulation(*stops, interval=30.0).run(600).passes["dev"].began
    assert began[:6] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(began) < 7 + 600 / 30 + 1


@pytest.mark.parametrize("interval", [30.0, 600.0])
def test_what_stops_once_a_minute_gets_its_pass_at_once_each_time(interval: float) -> None:
    stops = [60.0 * n + 7 for n in range(1, 20)]
    began = simulation(*stops, interval=interval).run(60 * 20).passes["dev"].began
    assert set(stops) <= set(began)


def test_an_engine_that_does_not_answer_is_not_asked_more_often() -> None:
    lost = Simulation(outcomes={"dev": always(EngineUnavailable("it does not answer"))})
    for n in range(600):
        lost.world.at(n / 10, lambda: lost.agent.pass_soon("dev"))
    waits = lost.run(60).passes["dev"].began
    assert len(waits) < 8 and waits[1] >= FIRST_BACKOFF


def test_an_environment_that_is_gone_is_no_matter() -> None:
    simulated = simulation()
    simulated.world.at(3.0, lambda: simulated.agent.pass_soon("prod"))
    assert simulated.run(10).passes["dev"].began == [0.0]
