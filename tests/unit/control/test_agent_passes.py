"""What a pass of the agent comes to, in the words of its loop."""

from __future__ import annotations

import threading
from pathlib import Path

from gitops_ml.control.agent.passes import EnvironmentPasses
from gitops_ml.control.agent.turns import TIP, WATCH_EVERY, Turns
from gitops_ml.control.environment.hosts import Hosts
from gitops_ml.errors import InputError
from tests.unit.builders import ENVIRONMENT, NAME, wanted
from tests.unit.simulated_host import Host, SimulatedEnvironment


class SimulatedPasses(EnvironmentPasses):
    """The agent's passes over an environment in memory."""

    def __init__(self, environment: SimulatedEnvironment) -> None:
        super().__init__(Path(), ENVIRONMENT, environment.report, threading.Event(), Hosts())
        self._environment_in_memory = environment

    def _open(self) -> SimulatedEnvironment:  # type: ignore[override]
        return self._environment_in_memory


def test_a_canary_is_watched_on_time_while_the_tip_cannot_be_followed() -> None:
    host = Host()
    host.settle(wanted("v1"))
    environment = host.declaring(wanted("v2", strategy="canary"))
    passes, turns, now = SimulatedPasses(environment), Turns(30.0, lambda: 1.0, 0.0), 0.0
    waits, results = [], []
    for _ in range(6):
        resting = turns.resting(now)
        results.append(passes.run(resting))
        turns.ended(results[-1], resting, now)
        waits.append(turns.due - now)
        now = turns.due
        if results[-1].watching:
            environment.fetch_error = InputError("an unknown key")
            host.seconds = 2 * (host.seconds // 2) + 1.0  # at odd seconds, no request is counted
    watched = [(wait, result) for wait, result in zip(waits, results, strict=True) if TIP in result.errors]
    assert watched and all(result.watching and wait < 2 * WATCH_EVERY for wait, result in watched)


def test_a_refused_removal_names_the_commit_that_no_longer_declares_it() -> None:
    host = Host()
    host.settle(wanted("v1"))
    environment = host.declaring()
    refused = SimulatedPasses(environment).run(frozenset()).errors[NAME]
    assert environment.last is not None
    commit = environment.last.desired.commit[:12]
    assert f"{ENVIRONMENT}/{NAME} would be removed: commit {commit} no longer declares it" in str(refused)
