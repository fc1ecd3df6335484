"""The sequential test of bad requests: when it stops, when it passes, and what does not mislead it."""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest

from gitops_ml.core.verification.statistics.blocks import BLOCK, Arms, block_length, start_block
from gitops_ml.core.verification.statistics.sequential import Evidence, TrafficTest, least_requests
from tests.effort import examples

Request = tuple[bool, bool]


def _requests(seed: int, count: int, weight: float, candidate: float, incumbent: float) -> list[Request]:
    generator = np.random.default_rng(seed)
    own = generator.random(count) < weight
    bad = generator.random(count) < np.where(own, candidate, incumbent)
    return list(zip(own.tolist(), bad.tolist(), strict=True))


def _run(test: TrafficTest, requests: Iterable[Request], rate: float = 40.0) -> int:
    """How many candidate requests the test had when its evidence first reached 20, or all of them."""
    seen = 0
    for number, (candidate, bad) in enumerate(requests):
        test.observe(candidate=candidate, bad=bad, at=number / rate)
        seen += candidate
        if test.worse >= 20:
            break
    return seen


def _test(percent: int = 10, margin: float = 0.01) -> TrafficTest:
    test = TrafficTest(margin)
    test.step(percent)
    return test


@pytest.mark.parametrize("percent", [5, 10, 25])
def test_a_candidate_that_always_fails_is_stopped_within_20_requests(percent: int) -> None:
    for seed in range(20):
        test = _test(percent)
        seen = _run(test, _requests(seed, 4000, percent / 100, 1.0, 0.005))
        assert test.worse >= 20 and seen <= 20


def test_a_worse_candidate_is_stopped_within_the_goal() -> None:
    seen = sorted(_run(_test(), _requests(seed, 60_000, 0.1, 0.02, 0.005)) for seed in range(21))
    assert seen[10] <= 2600


def test_a_better_candidate_is_never_stopped() -> None:
    for seed in range(10):
        test = _test()
        _run(test, _requests(seed, 30_000, 0.1, 0.0, 0.02))
        assert test.worse < 5


def test_one_arm_alone_gives_no_evidence() -> None:
    test = _test()
    assert test.evidence.worse == test.evidence.harmless == 1.0
    _run(test, [(True, True)] * 500)
    assert test.evidence.worse == test.evidence.harmless == 1.0
    assert test.evidence.total.candidate_bad == 500


def test_an_outage_behind_both_arms_gives_no_evidence() -> None:
    test = _test()
    healthy, outage = _requests(1, 5000, 0.1, 0, 0), _requests(2, 5000, 0.1, 1.0, 1.0)
    _run(test, healthy + outage + healthy)
    assert test.worse < 20 and test.evidence.total.candidate_bad > 400


def test_an_equal_candidate_passes_if_the_margin_is_wide_enough() -> None:
    test = _test(percent=50, margin=0.05)
    _run(test, _requests(1, 8000, 0.5, 0.005, 0.005))
    assert test.harmless >= 20
    needed = least_requests(0.05, 0.05)
    assert needed is not None and needed <= test.evidence.total.candidate


@pytest.mark.parametrize("alpha", [0.05, 0.025])
def test_the_fewest_requests_that_can_pass(alpha: float) -> None:
    needed = least_requests(0.05, alpha)
    assert needed is not None

    def passed(candidates: int) -> bool:
        test = _test(percent=50, margin=0.05)
        _run(test, [(bool(number % 2), False) for number in range(2 * candidates)], rate=20)
        return test.harmless >= 1 / alpha

    assert passed(needed) and not passed(needed - BLOCK)
    assert least_requests(0.0, alpha) is None


def test_no_block_spans_two_steps() -> None:
    test = TrafficTest(0.01)
    test.step(5)
    _run(test, _requests(1, 400, 0.05, 0, 0))
    test.step(25)
    _run(test, _requests(2, 79, 0.25, 1.0, 0))
    five, quarter = test.evidence.steps[5], test.evidence.steps[25]
    assert five.candidate + five.incumbent == 400 and quarter.candidate + quarter.incumbent == 79
    assert test.evidence.total.candidate == five.candidate + quarter.candidate


def test_evidence_of_an_earlier_stage_does_not_end_a_stage() -> None:
    """One block may give more evidence than several stages need. Each stage must still see a block of its own."""
    test = TrafficTest(0.9)
    test.step(50)
    _run(test, _requests(1, 60, 0.5, 0, 0), rate=20)
    assert test.decides(0.05, goal=2.0) and test.evidence.shows_harmless(2.0)
    resumed = TrafficTest(0.9, test.evidence)
    resumed.step(50)
    assert resumed.decides(0.05, goal=2.0)
    resumed.step(60)
    assert not resumed.decides(0.05, goal=2.0) and not resumed.evidence.shows_harmless(2.0)


def test_a_block_lasts_at_least_a_second() -> None:
    hasty, patient = _test(), _test()
    requests = _requests(3, 2000, 0.1, 0.05, 0.0)
    _run(hasty, requests, rate=1e6)
    _run(patient, requests, rate=100)
    assert hasty.evidence.main == Evidence().main and patient.evidence.main != Evidence().main


@pytest.mark.parametrize("cut", [1, 37, 400])
def test_a_test_resumed_from_the_journal_gives_the_same_evidence(cut: int) -> None:
    requests = _requests(5, 3000, 0.1, 0.03, 0.005)
    whole, kept = _test(), Evidence()
    _run(whole, requests)
    for start in range(0, len(requests), cut):
        test = TrafficTest(0.01, msgspec.json.decode(msgspec.json.encode(kept), type=Evidence))
        test.step(10)
        for number, (candidate, bad) in enumerate(requests[start : start + cut], start):
            test.observe(candidate=candidate, bad=bad, at=number / 40)
            if test.worse >= 20:
                break
        kept = test.evidence
        if kept.worse >= 20:
            break
    assert kept == whole.evidence


def test_counters_give_the_same_evidence_as_requests() -> None:
    one_by_one, counted = _test(50), _test(50)
    requests = _requests(8, 1200, 0.5, 0.03, 0.01)
    _run(one_by_one, requests)
    for start in range(0, len(requests), 20):
        part = requests[start : start + 20]
        arms = Arms(
            candidate=sum(own for own, _ in part),
            candidate_bad=sum(own and bad for own, bad in part),
            incumbent=sum(not own for own, _ in part),
            incumbent_bad=sum(bad and not own for own, bad in part),
        )
        counted.add(arms, at=(start + len(part)) / 40)
    assert counted.evidence.total == one_by_one.evidence.total
    assert counted.evidence.main[0] == pytest.approx(one_by_one.evidence.main[0], abs=0.5)


def test_another_origin_of_time_only_delays_a_block() -> None:
    first, second = _test(), _test()
    requests = [(number % 10 == 0, number % 300 == 7) for number in range(1000)]
    for test, origin in ((first, 0.0), (second, 1e9)):
        _run(test, requests[:500])
        for number, (candidate, bad) in enumerate(requests[500:]):
            test.observe(candidate=candidate, bad=bad, at=(number + 500) / 40 - origin)
    assert second.evidence.main[0] != 0 and len(second.evidence.steps) == 1


def test_a_burst_counts_once_however_long_it_is() -> None:
    """One bad request of the candidate and a burst of fifteen give the same evidence."""
    alone, burst = _test(), _test()
    requests = [(number % 10 == 0, False) for number in range(800)]
    single = [(own, number == 410) for number, (own, _) in enumerate(requests)]
    several = [(own, own and 410 <= number < 560) for number, (own, _) in enumerate(requests)]
    _run(alone, single)
    _run(burst, several)
    assert burst.evidence.main == alone.evidence.main and burst.evidence.main[0] > 0


def test_a_block_does_not_end_within_a_burst() -> None:
    cut = _test()
    requests = [(number % 10 == 0, number % 10 == 0 and 350 <= number < 500) for number in range(590)]
    _run(cut, requests)
    once = _test()
    _run(once, [(own, number == 350) for number, (own, _) in enumerate(requests)])
    assert cut.evidence.main == pytest.approx(once.evidence.main, rel=0.02)


def test_requests_dealt_at_random_make_every_block_fair() -> None:
    """Whatever the outcomes, the mean e-value of a block over random dealing is at most 1."""
    generator = np.random.default_rng(11)
    length = block_length(0.1, BLOCK)
    outcomes = np.zeros(length, dtype=bool)
    outcomes[[3, 60, 61, 62, 63, 64, 199]] = True
    values = []
    for _ in range(examples(4000)):
        test = _test()
        own = generator.random(length) < 0.1
        for number in range(length):
            test.observe(candidate=bool(own[number]), bad=bool(outcomes[number]), at=number / 40)
        values.append(np.exp(test.evidence.main))
    mean, error = np.mean(values, axis=0), np.std(values, axis=0) / math.sqrt(len(values))
    assert (mean <= 1 + 3 * error).all()


def test_start_blocks_leave_room_for_hundredfold_evidence() -> None:
    for percent in (1, 5, 10, 25):
        blocks = 20 // start_block(percent / 100)
        assert (100 / percent) ** blocks >= 100**2
