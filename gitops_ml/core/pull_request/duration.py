"""How long a rollout will take at today's traffic, and whether its time-out allows that.

A canary ends when the sequential test has seen enough requests. How many that takes at least follows from the
declaration, so a canary that would take a week is found in its pull request, not after a week. The figures are lower
bounds: bad requests, or a candidate that is a little worse, take more.
"""

from __future__ import annotations

import math

import msgspec

from gitops_ml.core.declaration.checks import Traffic
from gitops_ml.core.declaration.schema import Deployment
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.planning.canary import goal_of, shared_alpha, stages
from gitops_ml.core.records.record import Record
from gitops_ml.core.records.verified import parse_time
from gitops_ml.core.verification.statistics.blocks import BLOCK, BLOCK_SECONDS, block_length
from gitops_ml.core.verification.statistics.sequential import MARGIN_BET


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """How long a rollout takes.

    Args:
        seconds: at least so long in front of users; None where it cannot be told, or will never end.
        requests: how many requests of users it takes at least; None where users' requests do not decide.
        too_long: the longest test's own seconds, where the time-out is shorter; infinite without requests.
        measured: `seconds` is what the last rollout took, and no bound.
    """

    seconds: float | None
    requests: int | None = None
    too_long: float | None = None
    measured: bool = False


def expected(declaration: Deployment, rate: float | None, record: Record | None, *, first: bool) -> Expected:
    """Estimate the duration of a rollout.

    Args:
        rate: users' requests a second to the deployment; None where nobody could count them.
        record: what the deployment's last rollouts took.
        first: nothing serves yet, so no traffic decides.
    """
    if first or declaration.rollout.strategy not in ("canary", "shadow"):
        return Expected(seconds=_last_took(record, ("blue-green", "recreate")), measured=True)
    if declaration.serve.pattern == "publish":  # its subscribers decide, not users' requests
        return Expected(seconds=_last_took(record, ("canary",)), measured=True)
    tests = _blocks(declaration)
    requests = sum(blocks * length for test in tests for blocks, length in test)
    if rate is None:
        return Expected(seconds=None, requests=requests)
    took = [sum(blocks * _block_seconds(length, rate) for blocks, length in test) for test in tests]
    allowed = seconds((declaration.verify.traffic or Traffic()).timeout)
    longest = max(took)
    return Expected(
        seconds=sum(took) if math.isfinite(longest) else None,
        requests=requests,
        too_long=longest if longest > allowed else None,
    )


def _block_seconds(length: int, rate: float) -> float:
    return max(BLOCK_SECONDS, length / rate) if rate > 0 else math.inf


def _blocks(declaration: Deployment) -> list[list[tuple[int, int]]]:
    """For each sequential test of a rollout, its stages: how many blocks at least, and users' requests in each.

    A block without a bad request multiplies the evidence by a constant (see `sequential`), and each stage needs a block
    of its own.
    """
    all_stages = stages(declaration.rollout, declaration.rollout.strategy)
    alpha = shared_alpha(declaration, all_stages)
    margin = min((declaration.verify.traffic or Traffic()).max_bad_increase, 0.999)
    factor = math.log1p(MARGIN_BET / (1 - margin) * margin)
    tests: dict[int, list[tuple[int, int]]] = {}
    used: dict[int, int] = {}
    for number, stage in enumerate(all_stages):
        needed = math.ceil(math.log(goal_of(number, all_stages, alpha)) / factor - 1e-9) if factor else 0
        blocks = max(1, needed - used.get(stage.test, 0))
        used[stage.test] = used.get(stage.test, 0) + blocks
        length = BLOCK if stage.mirror else block_length(stage.percent / 100, BLOCK)
        tests.setdefault(stage.test, []).append((blocks, length))
    return list(tests.values())


def _last_took(record: Record | None, strategies: tuple[str, ...]) -> float | None:
    """Seconds of the newest rollout of these strategies that was promoted."""
    for attempt in record.attempts if record else ():
        if attempt.outcome == "promoted" and attempt.strategy in strategies and attempt.settled:
            return (parse_time(attempt.settled) - parse_time(attempt.started)).total_seconds()
    return None
