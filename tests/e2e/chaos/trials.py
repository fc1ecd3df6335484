"""Runs a scenario: once undisturbed to learn its mutations, then once for each moment of each of them."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterable

from tests.e2e.chaos.kill_switch import MOMENTS, Point
from tests.e2e.chaos.results import Result, keep
from tests.e2e.chaos.scenarios import Scenario
from tests.e2e.chaos.stage import Stage

TRIES = 3
"""How often a point is tried that a run did not come to: threads may do two mutations in either order."""
_VERSION = re.compile(r"v\d+\.\d+\.\d+")


def points_of(mutations: Iterable[str]) -> list[Point]:
    """Each moment of each mutation of a run. One moment of all mutations comes before the next moment."""
    seen: Counter[str] = Counter()
    numbered = []
    for mutation in mutations:
        seen[mutation] += 1
        numbered.append((mutation, seen[mutation]))
    return [Point(*mutation, moment) for moment in MOMENTS for mutation in numbered]


def try_all(stage: Stage, scenario: Scenario) -> Result:
    """Kill the scenario's command at each point of it, and store the result so far.

    Raises nothing for a point that fails: see `Result`.
    """
    began = time.monotonic()
    mutations, commits = undisturbed(stage, scenario)
    result = Result(scenario=scenario.name, mutations=mutations)
    for point in points_of(mutations):
        result.points += 1
        try:
            _try(stage, scenario, point, commits, result)
        except Exception as error:  # the points after it are tried too
            result.failures.append(f"{point}: {type(error).__name__}: {error}")
            stage.start_anew()
            stage.serve()
        result.seconds = round(time.monotonic() - began)
        keep(result)
        print(f"{scenario.name}: {point}, {result.seconds:.0f} s {result.failures[-1:]}", flush=True)
    return result


def undisturbed(stage: Stage, scenario: Scenario) -> tuple[list[str], list[str]]:
    """The mutations of a run that nobody disturbs, and the subjects of its commits."""
    expected = scenario.approach(stage)
    since = stage.tip()
    with stage.users(scenario.rate):
        ran = stage.run(*scenario.command)
        mutations = list(stage.switch.mutations)
    assert ran.code == expected.code, ran.err
    stage.require(expected)
    return mutations, _commits(stage, since)


def _try(stage: Stage, scenario: Scenario, point: Point, commits: list[str], result: Result) -> None:
    for _ in range(TRIES):
        expected = scenario.approach(stage)
        since = stage.tip()
        with stage.users(scenario.rate) as users:
            stage.run(*scenario.command, kill_at=point.moment_at)
            killed = stage.switch.fired
            for command in scenario.afterwards:
                ran = stage.run(*command)
                assert ran.code in (0, expected.code), f"exit {ran.code}\n{ran.err}"
        lost = {error: count for error, count in users.errors.items() if error != scenario.own_error}
        result.sent += users.sent
        result.lost += sum(lost.values())
        stage.require(expected)
        assert _commits(stage, since) == commits
        assert not scenario.serves or not lost, lost
        if killed:
            return
    raise AssertionError(f"in {TRIES} runs it never came to this point")


def _commits(stage: Stage, since: str) -> list[str]:
    return [_VERSION.sub("<version>", subject) for subject in stage.subjects(since)]
