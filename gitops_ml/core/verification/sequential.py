"""Is a canary worse than the incumbent? A test that may be looked at after every request, and stopped at any
look.

Requests of both arms are cut into blocks of time. Of the bad requests of a block, the candidate's share is
expected to be its share of the requests if it is no worse; each block with a bad request is one more bet on
that. The wealth of such bets is a test martingale (betting on a bounded mean: Waudby-Smith & Ramdas 2023,
JRSS B 86:1-27), so the chance that it ever reaches 1/alpha is at most alpha, at any number of looks (Ville
1939; for A/B tests Johari et al. 2015, Howard et al. 2021, Lindon et al. 2022). A mixture over sizes of the
bet replaces an effect size that nobody knows. The first requests are cut into smaller blocks as well, for
candidates that err at once. Each kind of block has its own share of alpha (a union bound), since the mean of
two such wealths that are looked at by different clocks would be no martingale (Choe & Ramdas 2024).

What it assumes: a burst of bad requests lies within a block, and which arm's requests it meets is chance in
proportion to their number. That holds whatever the outcomes do when requests are dealt at random (a block's
outcomes are fixed, the dealing is hypergeometric), so common bursts, periods and a day's rhythm cannot fool
it. It holds as well when bursts arise inside one arm (a replica stalls), since a burst counts once however
long it is. A block stays open while a burst goes on; a longer one still counts twice. Not covered: outcomes
that keep step with a round-robin gateway (every tenth request is bad, and the tenth goes to the candidate).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from gitops_ml.core.verification.blocks import (
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
"""How many times more often than by chance a bad request is bet to be the candidate's, less one."""
START_SHARE = 0.2
"""What of alpha may be spent on candidates that err from the first request on."""
MARGIN_BET = 0.95
"""The share of the largest bet that can be borne; at the rates and margins of services, nearly the best one.
"""


def _harmless_enough(closed: int, harmless: float, goal: float) -> bool:
    return closed > 0 and harmless >= goal


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that has to be kept of a test to go on with it: no request, only what they add up to.

    `steps` holds what was counted at each percentage of traffic, `closed` how many blocks ended at the
    present one. `worse` and `harmless` are the highest values that the e-processes against 'no worse' and
    against 'worse by max_bad_increase or more' have reached. `percent`, `block`, `opened`, `due`, `small` and
    `good` are the unfinished blocks, so that a test in short passes closes some at all.
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
        """Whether the evidence that it is worse by less than is borne has reached `goal`, some of it at the present
        percentage: what was seen of few requests says nothing of many.
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
    """One sequential test of one rollout, fed with its requests in the order in which they came in.

    `max_increase` is the rise of the share of bad requests that is borne (0.01 is one point). No request is
    kept, and nothing is lost when another process resumes from `evidence`.
    """

    def __init__(self, max_increase: float, evidence: Evidence | None = None) -> None:
        kept = evidence or Evidence()
        self.max_increase = min(max_increase, 0.999)
        self._before = kept.steps
        self._main = list(kept.main)
        self._start = kept.start
        self._margin = kept.margin
        self._worse, self._harmless = kept.worse, kept.harmless
        self._counts, self._bad = [0, 0], [0, 0]
        self._earlier = self._seen = kept.total.candidate
        self._percent, self._closed = kept.percent, kept.closed
        self._block, self._small = Block(kept.block, kept.opened), Block(kept.small)
        self._good, self._due = list(kept.good), kept.due
        if self._percent:
            self._measure()

    @property
    def evidence(self) -> Evidence:
        """What is known now."""
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
        """The highest value so far of the evidence that the candidate is worse; 1 / alpha is enough."""
        return self._worse

    @property
    def harmless(self) -> float:
        """The highest value so far of the evidence that it is worse by less than `max_increase`."""
        return self._harmless

    def decides(self, alpha: float, goal: float) -> bool:
        """Whether nothing more is to be counted: it is worse at `alpha`, or harmless enough for `goal`."""
        return self._worse >= 1 / alpha or _harmless_enough(self._closed, self._harmless, goal)

    def step(self, percent: int) -> None:
        """From here on the candidate gets `percent` (1 to 99) of the requests; no block spans two
        percentages.
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
        """One request: whose it was, whether it was bad, when it came in (seconds, from any origin).

        `step` has to have been called.
        """
        arm = 0 if candidate else 1
        self._count(arm, 1, int(bad), at)
        self._close(at)

    def add(self, counted: Arms, at: float) -> None:
        """Requests of about the same time whose order is not known, as counters give them. No block ends
        among them.
        """
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
        if self._block.full(self._length) and self._over(at):
            self._close_block()

    def _over(self, at: float) -> bool:
        """Whether the block has had its time, and no burst goes on."""
        if at - self._block.opened < BLOCK_SECONDS:
            return False
        self._due = self._due or sum(self._block.count)
        return min(self._good) >= QUIET or sum(self._block.count) >= 2 * self._due

    def _close_small(self) -> None:
        """All is bet on the candidate's being the bad one: soon enough if it always errs, soon lost if it
        does not.

        Only where most of what a sample as small as the candidate's could hold is bad: one bad request is no
        outage.
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
        """A bet that the candidate is worse by less than is borne, on the difference of the block's two
        rates.

        A block that a burst made `longer` counts as so many blocks, or bursts would be thinned by what
        follows them. Not exact for long bursts of the candidate's own: where a block ends depends on its
        outcomes, and a rise beyond 1 counts as 1 (bench/verdicts.md: 6 % instead of 5 % in bursts of 20).
        """
        rise = min(1.0, longer * (block.bad[0] / block.count[0] - block.bad[1] / block.count[1]))
        self._margin += math.log1p(MARGIN_BET / (1 - self.max_increase) * (self.max_increase - rise))
        self._harmless = max(self._harmless, _mean([self._margin]))


def least_requests(max_increase: float, alpha: float) -> int | None:
    """Candidate requests below which `max_increase` cannot be excluded even if none is bad; None: never."""
    if max_increase <= 0:
        return None
    if max_increase >= 1:
        return BLOCK
    return BLOCK * math.ceil(-math.log(alpha) / math.log1p(MARGIN_BET / (1 - max_increase) * max_increase))


def _mean(logarithms: Sequence[float]) -> float:
    """The mean of what is kept as logarithms; beyond any threshold, it no longer matters by how much."""
    return sum(math.exp(min(value, 600)) for value in logarithms) / len(logarithms)
