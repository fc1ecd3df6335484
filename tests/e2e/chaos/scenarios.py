"""What the tool is killed in: each scenario goes to the brink of one change, and says what must hold after it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.e2e.chaos.kill_switch import Point
from tests.e2e.chaos.stage import Expected, Stage
from tests.e2e.workshop import HOLDOUT


@dataclass(frozen=True)
class Scenario:
    """One kind of change.

    Args:
        approach: brings a stage to where only the command is left to run, and returns what must hold after it.
        command: what is killed.
        afterwards: the commands after which everything must have converged.
        rate: requests of users a second.
        serves: whether users are served all the time.
        own_error: what the candidate itself answers to users; a request that ends so is not lost.
        kills: whether the tool is killed; otherwise its connection to the engine is cut.
        ssh: whether the engine is reached over SSH.
    """

    name: str
    approach: Callable[[Stage], Expected]
    command: tuple[str, ...] = ("sync", "dev")
    afterwards: tuple[tuple[str, ...], ...] = (("sync", "dev"),)
    rate: float = 20
    serves: bool = True
    own_error: str = ""
    kills: bool = True
    ssh: bool = False


def _first_deployment(stage: Stage) -> Expected:
    stage.start_anew()
    version = stage.release()
    stage.workshop.declare(version, verify=HOLDOUT)
    return Expected(version, tried=version)


def _blue_green(stage: Stage, **declared: Any) -> Expected:
    version = stage.release()
    stage.workshop.declare(version, verify=HOLDOUT, **declared)
    return Expected(version, tried=version)


def _canary_promoted(stage: Stage) -> Expected:
    version = stage.release()
    rollout = {"strategy": "canary", "steps": [50]}
    stage.workshop.declare(version, rollout=rollout, verify={"traffic": {"max_bad_increase": 0.5, "timeout": "90s"}})
    return Expected(version, tried=version)


def _canary_failed(stage: Stage) -> Expected:
    before, version = str(stage.workshop.declared()["version"]), stage.release(error_rate=1.0)
    rollout = {"strategy": "canary", "steps": [25, 50]}
    stage.workshop.declare(version, rollout=rollout, verify={"traffic": {"max_bad_increase": 0.2, "timeout": "90s"}})
    return Expected(before, tried=version, outcomes=("failed",), code=3)


def _recreate(stage: Stage) -> Expected:
    return _blue_green(stage, rollout={"strategy": "recreate"})


def _scale(stage: Stage, before: int, after: int) -> Expected:
    version = str(stage.workshop.declared()["version"])
    for replicas in (before, after):
        stage.workshop.declare(version, replicas=replicas)
        if replicas == before:
            stage.workshop.sync()
    return Expected(version, replicas=after)


def _prune(stage: Stage) -> Expected:
    version = str(stage.workshop.declared()["version"])
    stage.workshop.declare(version, deployment="second")
    stage.workshop.sync()
    stage.workshop.pull()
    stage.workshop.git("rm", "-q", "environments/dev/models/second.yaml")
    stage.workshop.commit("Withdraw second")
    return Expected(version)


def _verify_goes_back(stage: Stage) -> Expected:
    before = str(stage.workshop.declared()["version"])
    version = stage.release()
    stage.told["body"] = f"orders go well with {before} and {version}"
    check = {"name": "orders", "url": stage.orders, "contains": "${version}"}
    stage.workshop.declare(version, verify={"http": [check]})
    stage.workshop.sync()
    stage.told["body"] = f"orders go well with {before}"
    return Expected(before, tried=version, outcomes=("failed", "promoted"), code=3)


def _lock_takeover(stage: Stage) -> Expected:
    """A sync was killed in a rollout; another one takes its lock over, and is killed too."""
    expected = _blue_green(stage)
    stage.run("sync", "dev", kill_at=Point("start replica", 1, "after").moment_at)
    assert stage.switch.fired
    return expected


SCENARIOS = (
    Scenario("first deployment", _first_deployment, rate=0, serves=False),
    Scenario("blue-green", _blue_green),
    Scenario("canary promoted", _canary_promoted, rate=60),
    Scenario("canary failed", _canary_failed, own_error="HTTP 500"),
    Scenario("recreate", _recreate, serves=False),
    Scenario("scale up", lambda stage: _scale(stage, 1, 2)),
    Scenario("scale down", lambda stage: _scale(stage, 2, 1)),
    Scenario("prune", _prune),
    Scenario("verify goes back", _verify_goes_back, ("verify", "dev"), (("verify", "dev"), ("sync", "dev"))),
    Scenario("lock takeover", _lock_takeover),
    Scenario("blue-green, connection cut", _blue_green, kills=False),
    Scenario("blue-green, SSH connection cut", _blue_green, kills=False, ssh=True),
    Scenario("canary failed, connection cut", _canary_failed, own_error="HTTP 500", kills=False),
)
