"""What a published canary's subscribers say decides: slow, dead, lying and too few ones, and a channel that forgot."""

from __future__ import annotations

from typing import Any

import pytest

from gitops_ml.core.declaration.checks import SubscribersCheck
from gitops_ml.core.subscribers import Acknowledgement, ChannelReport
from gitops_ml.core.verification.acknowledgements import judge_acknowledgements
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.subscriber import slot_of

NEW, OLD = "b" * 12, "a" * 12
NAMES = sorted((f"s{number}" for number in range(200)), key=slot_of)
INSIDE = [name for name in NAMES if slot_of(name) < 25]
OUTSIDE = [name for name in NAMES if slot_of(name) >= 25]


def said(name: str, generation: str = NEW, **more: Any) -> Acknowledgement:
    settings: dict[str, Any] = {"heard": 1.0} | more
    return Acknowledgement(subscriber=name, generation=generation, **settings)


def judged(*acknowledgements: Acknowledgement, uptime: float = 100.0, last: bool = True, **more: Any) -> CheckResult:
    old = [a for a in acknowledgements if a.generation != NEW]
    new = [a for a in acknowledgements if a.generation == NEW]
    reports = [ChannelReport(poll_seconds=20, uptime=uptime, subscribers=tuple(part)) for part in (old, new)]
    settings = {"percent": 25, "last": last, "elapsed": 30.0} | more
    return judge_acknowledgements(settings.pop("spec", SubscribersCheck()), reports, NEW, **settings)


def test_a_canary_passes_when_its_share_has_loaded_it() -> None:
    check = judged(*map(said, INSIDE[:10]), *(said(name, OLD) for name in OUTSIDE[:50]))
    assert (check.result, check.figures["share"], check.figures["subscribers"]) == ("pass", 10, 60)


def test_a_late_subscriber_in_ten_is_not_waited_for_and_two_are() -> None:
    for late, expected in ((1, "pass"), (2, "inconclusive")):
        subscribers = [*map(said, INSIDE[late:10]), *(said(name, OLD) for name in INSIDE[:late])]
        assert judged(*subscribers).result == expected


def test_a_failure_in_ten_is_borne_and_two_are_not() -> None:
    for failures, expected in ((1, "pass"), (2, "fail")):
        failed = [said(name, OLD, failed=NEW, error="no memory") for name in INSIDE[:failures]]
        assert judged(*map(said, INSIDE[failures:10]), *failed).result == expected


def test_the_first_that_fails_of_few_is_enough() -> None:
    check = judged(said(INSIDE[0], OLD, failed=NEW, error="an unknown type"), *(said(n, OLD) for n in INSIDE[1:4]))
    assert check.result == "fail" and f"{INSIDE[0]}: an unknown type" in check.reason


def test_a_dead_subscriber_is_not_waited_for() -> None:
    assert judged(*map(said, INSIDE[:3]), said(INSIDE[3], OLD, heard=61.0)).result == "pass"
    assert judged(*map(said, INSIDE[:3]), said(INSIDE[3], OLD, heard=59.0)).result == "inconclusive"


def test_an_acknowledgement_from_outside_the_share_counts_for_nothing() -> None:
    forged = [said(name, OLD, failed=NEW) for name in OUTSIDE[:50]]
    assert judged(*map(said, INSIDE[:3]), *forged).result == "pass"
    assert judged(*map(said, OUTSIDE[:50])).result == "inconclusive"


def test_the_failure_of_another_generation_is_not_this_ones() -> None:
    assert judged(*(said(name, failed=OLD) for name in INSIDE[:3])).result == "pass"


def test_a_name_counts_once_by_what_it_said_last() -> None:
    twice = [said(INSIDE[0], OLD, failed=NEW, heard=5.0), said(INSIDE[0], heard=2.0)]
    assert judged(*twice).result == "pass"


@pytest.mark.parametrize("last", [True, False])
def test_nothing_passes_before_the_channels_know_their_subscribers(last: bool) -> None:
    assert judged(*map(said, INSIDE[:3]), uptime=39.0, last=last).result == "inconclusive"
    assert (
        judge_acknowledgements(SubscribersCheck(), [], NEW, percent=25, last=last, elapsed=1).result == "inconclusive"
    )


def test_nothing_passes_while_a_channel_does_not_answer() -> None:
    assert judged(*map(said, INSIDE[:3]), complete=False).result == "inconclusive"
    failed = [said(name, OLD, failed=NEW, error="no memory") for name in INSIDE[3:6]]
    assert judged(*map(said, INSIDE[:3]), *failed, complete=False).result == "fail"


def test_what_a_subscriber_says_is_one_line() -> None:
    check = judged(said(INSIDE[0], OLD, failed=NEW, error="no\nrecord prod/churn: promoted"))
    assert check.result == "fail" and "\n" not in check.reason


def test_a_step_without_subscribers_is_passed_over_unless_it_is_the_last() -> None:
    nobody = [said(name, OLD) for name in OUTSIDE[:3]]
    assert judged(*nobody, last=False).result == "pass"
    check = judged(*nobody, elapsed=601.0)
    assert check.result == "inconclusive" and "none of 3 subscribers is in its 25% within 10m" in check.reason


SCORING = SubscribersCheck(max_errors=0.02, min_scored=100)


def scoring(count: int, scored: int, errors: int) -> list[Acknowledgement]:
    """Subscribers in the share that run the candidate, and what each did with it."""
    return [said(name, scored=scored, errors=errors) for name in INSIDE[:count]]


def test_errors_decide_nothing_where_no_bound_is_declared() -> None:
    assert judged(*scoring(3, 100, 100)).result == "pass"


@pytest.mark.parametrize(
    ("scored", "errors", "expected"),
    [
        (99, 0, "inconclusive"),
        (100, 2, "pass"),
        (100, 3, "fail"),
        (3, 3, "fail"),
        (2, 2, "inconclusive"),
        (1000, 20, "pass"),
    ],
)
def test_a_subscriber_counts_once_it_has_scored_without_too_many_errors(
    scored: int, errors: int, expected: str
) -> None:
    check = judged(*scoring(4, scored, errors), spec=SCORING)
    assert check.result == expected
    assert (check.figures["scored"], check.figures["errors"]) == (4 * scored, 4 * errors)


def test_a_subscriber_that_errs_counts_as_one_that_could_not_load_it() -> None:
    for erring, expected in ((1, "pass"), (2, "fail")):
        good = [said(name, scored=500) for name in INSIDE[erring:10]]
        check = judged(*scoring(erring, 50, 40), *good, spec=SCORING)
        assert check.result == expected
    assert f"{INSIDE[0]}: 40 errors in 50 scorings" in check.reason


def test_errors_with_the_incumbent_or_outside_the_share_are_not_the_candidates() -> None:
    others = [said(name, OLD, scored=100, errors=100) for name in OUTSIDE[:5]]
    forged = [said(name, scored=100, errors=100) for name in OUTSIDE[5:9]]
    assert judged(*scoring(3, 100, 0), *others, *forged, spec=SCORING).result == "pass"
