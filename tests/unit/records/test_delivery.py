"""Delivery figures: which attempts count as what, and the times between them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from gitops_ml.core.records.delivery import Delivery, delivery
from gitops_ml.core.records.record import RecordedAttempt
from tests.unit.builders import NOW
from tests.unit.page.examples import BAD_TRAFFIC, COMMAND, COMMIT, LOSS, READY, attempt

COMMITTED = {COMMIT: NOW - timedelta(hours=30)}


def figures(*attempts: RecordedAttempt) -> Delivery:
    return delivery([attempts], COMMITTED, NOW)


def reviewed(number: int, **fields: Any) -> RecordedAttempt:
    return attempt(number, LOSS, outcome="reviewed", **fields)


def test_lead_time_is_the_median_from_the_commit_to_the_promotion() -> None:
    assert figures(attempt(1, READY), attempt(9, READY), attempt(10, READY)).lead_time == timedelta(hours=21)


def test_a_promotion_of_an_unknown_commit_has_no_lead_time() -> None:
    result = figures(attempt(1, READY, commit="d" * 40))
    assert (result.deployed, result.lead_time) == (1, None)


def test_what_failed_before_users_is_no_failure() -> None:
    result = figures(attempt(1, READY), attempt(2, LOSS))
    assert (result.failure_rate, result.stopped, result.failed) == (0.0, 1, 0)


def test_a_failed_canary_is_a_failure_until_its_incumbent_serves_all() -> None:
    result = figures(attempt(1, READY), attempt(2, READY, BAD_TRAFFIC))
    assert result.failure_rate == 0.5
    assert result.restore_time == timedelta(minutes=6, seconds=12)


def test_a_failed_review_lasts_until_the_next_promotion() -> None:
    result = figures(attempt(1, READY), reviewed(4), attempt(9, READY))
    assert (result.failed, result.restore_time, result.unrestored) == (1, timedelta(hours=3), 0)


def test_a_failed_review_without_a_promotion_is_open() -> None:
    result = figures(reviewed(4), attempt(9, READY))
    assert (result.unrestored, result.restore_time) == (1, None)


def test_a_passed_review_counts_as_nothing() -> None:
    assert figures(attempt(1, READY, outcome="reviewed")) == Delivery()


def test_inconclusive_is_counted_apart() -> None:
    result = figures(attempt(1, COMMAND))
    assert (result.inconclusive, result.failure_rate) == (1, None)


def test_a_boot_is_no_deployment() -> None:
    assert figures(attempt(1, READY, key="boot")) == Delivery()


def test_only_the_last_ninety_days_count() -> None:
    assert figures(attempt(24 * 91, READY)) == Delivery()


def test_a_time_that_is_none_is_left_out() -> None:
    assert figures(attempt(1, READY, settled="yesterday"), attempt(1, READY, settled=None)) == Delivery()


def test_several_deployments_are_added_up() -> None:
    result = delivery([[attempt(1, READY)], [attempt(2, READY)]], COMMITTED, NOW)
    assert (result.deployed, result.lead_time) == (2, timedelta(hours=28, minutes=30))
