"""Is a canary worse than the incumbent? A sequential test that may be read, and stopped, after every request.

Method. The requests of both arms are cut into blocks of time. If the candidate is no worse, its expected share of a
block's bad requests is its share of the block's requests; every block with a bad request is one bet against that. The
wealth of such bets is a test martingale (betting on a bounded mean: Waudby-Smith & Ramdas 2023, JRSS B 86:1-27), so the
chance that it ever reaches 1/alpha is at most alpha, however often it is read (Ville 1939; for A/B tests Johari et al.
2015, Howard et al. 2021, Lindon et al. 2022). The size of the effect is unknown, so several bet sizes are mixed. The
first requests are cut into smaller blocks as well, for candidates that fail at once. Each kind of block has its own
share of alpha (a union bound): the two wealths are updated at different times, so their mean is no valid test (Choe &
Ramdas 2024).

Assumptions. A burst of bad requests lies within one block, and chance decides which arm's requests it hits, in
proportion to their numbers. This holds whenever requests are dealt at random (a block's outcomes are fixed, and the
dealing is hypergeometric), so bursts that hit both arms, periods and a day's rhythm do not mislead the test. It also
holds for bursts inside one arm, such as a stalled replica, since a burst counts once whatever its length. A block stays
open until both arms have had three good requests in a row, at most for twice its due length; a longer burst counts
twice. Not covered: outcomes in step with a round-robin
gateway, such as every tenth request bad while every tenth goes to the candidate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from gitops_ml.core.verification.statistics.blocks import (
    BLOCK,
    BLOCK_SECONDS,
    QUIET,
    START_REQUESTS,
    Arms,
    Block,
    arms_of,
    block_length,
    start_block,
)

BETS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Sizes of bets: how many times more often than by chance a bad request is the candidate's, minus one."""
START_SHARE = 0.2
"""The share of alpha for candidates that fail from the first request on."""
MARGIN_BET = 0.95
"""The share of the largest bet that cannot bankrupt; nearly the best at the usual rates and margins of services."""


def _harmless_enough(closed: int, harmless: float, goal: float) -> bool:
    return closed > 0 and harmless >= goal


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a test, from which another process can resume it. It holds sums, and no requests.

    `steps` holds the counts at each percentage of traffic, and `closed` how many blocks ended at the present one.
    `worse` and `harmless` are the highest values so far of the e-processes against 'no worse' and against 'worse by
    max_bad_increase or more'. `main`, `start` and `margin` are the wealths of the bets; `main` and `margin` are
    logarithms. `percent`, `block`, `opened`, `due`, `small` and `good` describe the unfinished blocks, so that a test
    in short passes closes blocks at all.
    """

    steps: dict[int, Arms] = {}
    main: tuple[float, ...] = (0.0,) * len(BETS)
    start: float = 1.0
    margin: float = 0.0
    worse: float = 1.0
    harmless: float = 1.0
    percent: int = 0
    closed: int = 0
    block: Arms = Arms()
    opened: float = 0.0
    due: int = 0
    small: Arms = Arms()
    good: tuple[int, int] = (QUIET, QUIET)

    def shows_harmless(self, goal: float) -> bool:
        """Whether the evidence that the candidate is worse by less than max_bad_increase has reached `goal`.

        Some of it must come from the present percentage: few requests say nothing about many.
        """
        return _harmless_enough(self.closed, self.harmless, goal)

    @property
    def total(self) -> Arms:
        """The requests of all steps."""
        arms = Arms()
        for step in self.steps.values():
            arms = arms.plus(step)
        return arms


class TrafficTest:
    """One sequential test of one rollout. It is fed the requests in the order in which they came.

    Args:
        max_increase: how far the share of bad requests may rise; 0.01 is one percentage point.
        evidence: the state of a test to resume.
    """

    def __init__(self, max_increase: float, evidence: Evidence | None = None) -> None:
        resumed = evidence or Evidence()
        self.max_increase = min(max_increase, 0.999)
        self._before = resumed.steps
        self._main = list(resumed.main)
        self._start = resumed.start
        self._margin = resumed.margin
        self._worse, self._harmless = resumed.worse, resumed.harmless
        self._counts, self._bad = [0, 0], [0, 0]
        self._earlier = self._seen = resumed.total.candidate
        self._percent, self._closed = resumed.percent, resumed.closed
        self._block, self._small = Block(resumed.block, resumed.opened), Block(resumed.small)
        self._good, self._due = list(resumed.good), resumed.due
        if self._percent:
            self._measure()

    @property
    def evidence(self) -> Evidence:
        """The state of the test now."""
        steps = dict(self._before)
        if self._percent:
            counted = arms_of(self._counts, self._bad)
            steps[self._percent] = steps.get(self._percent, Arms()).plus(counted)
        return Evidence(
            steps=steps,
            main=tuple(self._main),
            start=self._start,
            margin=self._margin,
            worse=self._worse,
            harmless=self._harmless,
            percent=self._percent,
            closed=self._closed,
            block=self._block.arms,
            opened=self._block.opened,
            due=self._due,
            small=self._small.arms,
            good=(min(self._good[0], QUIET), min(self._good[1], QUIET)),
        )

    @property
    def worse(self) -> float:
        """The highest value so far of the evidence that the candidate is worse. 1 / alpha decides."""
        return self._worse

    @property
    def harmless(self) -> float:
        """The highest value so far of the evidence that it is worse by less than `max_increase`."""
        return self._harmless

    def decides(self, alpha: float, goal: float) -> bool:
        """Whether the test is decided: worse at `alpha`, or harmless enough for `goal`."""
        return self._worse >= 1 / alpha or _harmless_enough(self._closed, self._harmless, goal)

    def step(self, percent: int) -> None:
        """Begin to count at another share of the traffic. No block spans two percentages.

        Args:
            percent: the candidate's share, 1 to 99.
        """
        self._before = self.evidence.steps
        self._earlier = self._seen_in_all()
        self._counts, self._bad = [0, 0], [0, 0]
        if percent != self._percent:
            self._good, self._due, self._closed = [QUIET, QUIET], 0, 0
            self._block, self._small = Block(), Block()
        self._percent = percent
        self._measure()

    def _seen_in_all(self) -> int:
        return self._earlier + self._counts[0]

    def _measure(self) -> None:
        weight = self._percent / 100
        self._length = block_length(weight, BLOCK)
        self._small_length = block_length(weight, start_block(weight))

    def observe(self, *, candidate: bool, bad: bool, at: float) -> None:
        """Count one request. `step` must have been called before.

        Args:
            at: when it came, in seconds from any origin.
        """
        arm = 0 if candidate else 1
        self._count(arm, 1, int(bad), at)
        self._close(at)

    def add(self, counted: Arms, at: float) -> None:
        """Count requests of about the same time in unknown order, as counters give them. No block ends among them."""
        self._count(0, counted.candidate, counted.candidate_bad, at)
        self._count(1, counted.incumbent, counted.incumbent_bad, at)
        self._close(at)

    def _count(self, arm: int, requests: int, bad: int, at: float) -> None:
        if not requests:
            return
        self._counts[arm] += requests
        self._bad[arm] += bad
        if self._seen < START_REQUESTS:
            self._small.add(arm, requests, bad, at)
        self._block.add(arm, requests, bad, at)
        self._good[arm] = 0 if bad else self._good[arm] + requests

    def _close(self, at: float) -> None:
        if self._seen < START_REQUESTS:
            if self._small.full(self._small_length):
                self._close_small()
            self._seen = self._seen_in_all()
        if self._block.full(self._length) and self._may_end(at):
            self._close_block()

    def _may_end(self, at: float) -> bool:
        """Whether the block has lasted long enough, and no burst is under way."""
        if at - self._block.opened < BLOCK_SECONDS:
            return False
        self._due = self._due or sum(self._block.count)
        return min(self._good) >= QUIET or sum(self._block.count) >= 2 * self._due

    def _close_small(self) -> None:
        """Bet everything on the candidate: the bet wins quickly if it always fails, and is lost quickly if not.

        Bets only if the bad requests are at least half of the block's smaller arm: one bad request is no outage.
        """
        block, self._small = self._small, Block()
        if 2 * sum(block.bad) >= start_block(self._percent / 100):
            self._start *= block.share / block.chance
            self._raise_worse()

    def _close_block(self) -> None:
        block, self._block = self._block, Block()
        due, self._due = self._due, 0
        self._closed += 1
        if any(block.bad):
            for index, bet in enumerate(BETS):
                self._main[index] += math.log((1 + bet * block.share) / (1 + bet * block.chance))
            self._raise_worse()
        self._bet_on_margin(block, sum(block.count) / due)

    def _raise_worse(self) -> None:
        self._worse = max(self._worse, START_SHARE * self._start, (1 - START_SHARE) * _mean(self._main))

    def _bet_on_margin(self, block: Block, longer: float) -> None:
        """Bet that the candidate is worse by less than max_increase, on the difference of the block's two rates.

        Not exact for long bursts of the candidate's own: where a block ends depends on its outcomes, and a rise above
        1 counts as 1 (bench/verdicts.md: 6 % instead of 5 % in bursts of 20).

        Args:
            longer: how many times its due length the block has. It counts as so many blocks, or the good requests
                after a burst would thin the burst.
        """
        rise = min(1.0, longer * (block.bad[0] / block.count[0] - block.bad[1] / block.count[1]))
        self._margin += math.log1p(MARGIN_BET / (1 - self.max_increase) * (self.max_increase - rise))
        self._harmless = max(self._harmless, _mean([self._margin]))


def least_requests(max_increase: float, alpha: float) -> int | None:
    """How many candidate requests, none of them bad, it takes to exclude `max_increase`; None if it cannot be done."""
    if max_increase <= 0:
        return None
    if max_increase >= 1:
        return BLOCK
    return BLOCK * math.ceil(-math.log(alpha) / math.log1p(MARGIN_BET / (1 - max_increase) * max_increase))


def _mean(logarithms: Sequence[float]) -> float:
    """The mean of numbers given as logarithms, which are capped: far beyond any threshold, size does not matter."""
    return sum(math.exp(min(value, 600)) for value in logarithms) / len(logarithms)
