"""How long a rollout takes at today's traffic follows from the sequential test itself."""

from __future__ import annotations

from typing import Any

import pytest

from gitops_ml.core.planning.canary import goal_of, shared_alpha, stages
from gitops_ml.core.pull_request.duration import expected
from gitops_ml.core.pull_request.effect import decided_by
from gitops_ml.core.verification.statistics.sequential import TrafficTest
from tests.unit.pull_request.builders import deployment, record


def declared(**fields: Any) -> Any:
    return deployment("v2", **fields).declaration


def simulated(declaration: Any) -> int:
    """How many requests the real test takes to pass every stage, when none is bad."""
    all_stages = stages(declaration.rollout, declaration.rollout.strategy)
    alpha = shared_alpha(declaration, all_stages)
    test, requests, at, number = TrafficTest(declaration.verify.traffic.max_bad_increase), 0, 0.0, -1
    for index, stage in enumerate(all_stages):
        if stage.test != number:
            number = stage.test
            test = TrafficTest(declaration.verify.traffic.max_bad_increase)
        test.step(50 if stage.mirror else stage.percent)
        owed = 0.0
        while not test.decides(alpha, goal_of(index, all_stages, alpha)):
            at += 1.0
            requests += 1
            if stage.mirror:
                test.observe(candidate=True, bad=False, at=at)
                test.observe(candidate=False, bad=False, at=at)
                continue
            owed += stage.percent / 100
            candidate = owed >= 1
            owed -= candidate
            test.observe(candidate=candidate, bad=False, at=at)
    return requests


@pytest.mark.parametrize(
    ("strategy", "then", "steps", "increase"),
    [
        ("canary", "blue-green", [5, 25, 50], 0.1),
        ("canary", "blue-green", [10, 90], 1.0),
        ("shadow", "blue-green", [50], 0.05),
        ("shadow", "canary", [20, 50], 0.2),
    ],
)
def test_it_is_what_the_test_takes_when_no_request_is_bad(
    strategy: str, then: str, steps: list[int], increase: float
) -> None:
    declaration = declared(
        rollout={"strategy": strategy, "steps": steps, "then": then},
        verify={"traffic": {"max_bad_increase": increase, "timeout": "30d"}},
    )
    bound = expected(declaration, 1.0, None, first=False).requests
    assert bound is not None
    assert bound <= simulated(declaration) <= 1.1 * bound + 20


def test_little_traffic_makes_it_long_and_longer_than_its_timeout() -> None:
    declaration = declared(rollout={"strategy": "canary"}, verify={"traffic": {"timeout": "1h"}})
    quick = expected(declaration, 100.0, None, first=False)
    slow = expected(declaration, 0.01, None, first=False)
    assert quick.seconds is not None and slow.seconds is not None
    assert quick.too_long is None and slow.too_long == slow.seconds
    assert slow.seconds == pytest.approx(quick.requests / 0.01)  # type: ignore[operator]


def test_without_requests_it_never_ends() -> None:
    never = expected(declared(rollout={"strategy": "canary"}), 0.0, None, first=False)
    assert never.seconds is None and never.too_long == float("inf")


def test_without_a_host_the_requests_are_known_and_the_time_is_not() -> None:
    unknown = expected(declared(rollout={"strategy": "canary"}), None, None, first=False)
    assert unknown.requests and unknown.seconds is None and unknown.too_long is None


def test_a_published_canary_is_not_measured_by_requests() -> None:
    published = declared(serve={"pattern": "publish"}, rollout={"strategy": "canary"})
    assert expected(published, 0.0, None, first=False).too_long is None
    assert "subscribers (at least 90% of each share load it, within `10m`)" in decided_by(published, first=False)


def test_what_traffic_does_not_decide_takes_as_long_as_the_last_time() -> None:
    measured = expected(declared(), 5.0, record("v1", seconds=80), first=False)
    assert measured.measured and measured.seconds == 80 and measured.requests is None
    assert expected(declared(rollout={"strategy": "canary"}), 5.0, None, first=True).requests is None
