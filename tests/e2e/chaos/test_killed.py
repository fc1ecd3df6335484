"""Killed before, during and after each mutation, the next run of the command converges and users notice nothing."""

from __future__ import annotations

from pathlib import Path

import docker
import pytest

from tests.e2e.chaos.kill_switch import EachKindOnce
from tests.e2e.chaos.scenarios import SCENARIOS, Scenario
from tests.e2e.chaos.stage import empty_stage
from tests.e2e.chaos.trials import try_all
from tests.e2e.engine.test_engine_ssh import host as ssh_host_fixture

ssh_host = ssh_host_fixture


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_at_every_point(
    engine: docker.DockerClient, tmp_path: Path, scenario: Scenario, request: pytest.FixtureRequest
) -> None:
    over = f"ssh://{request.getfixturevalue('ssh_host')}" if scenario.ssh else "unix://"
    with empty_stage(engine, tmp_path, over=over, kills=scenario.kills) as stage:
        stage.serve()
        result = try_all(stage, scenario)
    assert result.failures == []


def test_a_rollout_killed_at_each_kind_of_mutation_continues_without_losing_a_request(
    engine: docker.DockerClient, tmp_path: Path
) -> None:
    """A sample of `make chaos`: each kind of mutation once, all of them in one blue-green rollout."""
    (scenario,) = (each for each in SCENARIOS if each.name == "blue-green")
    killed_at = EachKindOnce()
    with empty_stage(engine, tmp_path) as stage:
        stage.serve()
        expected = scenario.approach(stage)
        with stage.users(scenario.rate) as users:
            killed = True
            while killed:
                ran = stage.run(*scenario.command, kill_at=killed_at)
                killed = stage.switch.fired
        assert ran.code == 0, ran.err
        stage.require(expected)
    assert {"create lock", "create replica", "run switch-route", "remove replica", "push"} < killed_at.keys()
    assert users.failed == 0, users.errors
