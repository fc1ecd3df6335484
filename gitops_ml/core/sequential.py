"""Is a canary worse than the incumbent? A test that may be looked at after every request, and stopped at any
look.

Requests of both arms are cut into blocks of time. Within a block the candidate has its share of the requests
and the incumbent's are dealt, one after the other, to stripes of the same size, so that each stripe is as
thin a sample of the block as the candidate is. If the candidate is no worse, which of these equal samples is
the candidate's is chance: its score divided by the mean of all scores is an e-value (exchangeability;
soft-rank e-values of Ren & Barber 2024, JRSS B 86:122-154; permutation e-values in Ramdas & Wang 2025,
Hypothesis Testing with E-values, ch. 9). The product over blocks is a test martingale, so the chance that it
ever reaches 1/alpha is at most alpha, at any number of looks (Ville 1939; Johari et al. 2015, Howard et al.
2021, Lindon et al. 2022 for its use in A/B tests). Mixtures over how strongly to bet replace an effect size
that nobody knows.

What it assumes: requests are dealt to the arms without regard to their outcome, and bad requests of one block
do not depend on the arm. Nothing is assumed of how the rate moves: bursts, periods and a day's rhythm meet
all stripes of a block alike. A burst inside one arm only (one replica stalls) is not chance of dealing; there
the score counts a burst once instead of twenty times, which bench/verdicts.py shows to keep the error within
alpha. Not covered: outcomes that keep step with a round-robin gateway (every tenth request is bad and the
tenth goes to the candidate).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

BLOCK = 20
"""Requests of the smaller arm in a block: more than a usual burst, few enough to look often."""
BLOCK_SECONDS = 1.0
BETS = (0.5, 1.0, 2.0, 4.0, 8.0)
START_SHARE = 0.2
START_REQUESTS = 20
MARGIN_BET = 0.95
"""The share of the largest bet that can be borne; at the rates and margins of services, nearly the best one.
"""


class Arms(msgspec.Struct, frozen=True, kw_only=True):
    """Requests and bad requests of both arms."""

    candidate: int = 0
    candidate_bad: int = 0
    incumbent: int = 0
    incumbent_bad: int = 0

    def plus(self, other: Arms) -> Arms:
        """The sum of both."""
        return Arms(
            candidate=self.candidate + other.candidate,
            candidate_bad=self.candidate_bad + other.candidate_bad,
            incumbent=self.incumbent + other.incumbent,
            incumbent_bad=self.incumbent_bad + other.incumbent_bad,
        )

    @property
    def increase(self) -> float | None:
        """The candidate's share of bad requests minus the incumbent's."""
        if not self.candidate or not self.incumbent:
            return None
        return self.candidate_bad / self.candidate - self.incumbent_bad / self.incumbent


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """All that has to be kept of a test to go on with it: no request, only what the closed blocks add up to.

    `steps` holds what was counted at each percentage of traffic. `worse` and `harmless` are the highest
    values that the e-processes against 'no worse' and against 'worse by max_bad_increase or more' have
    reached.
    """

    steps: dict[int, Arms] = {}
    main: tuple[float, ...] = (0.0,) * len(BETS)
    start: float = 1.0
    margin: float = 0.0
    worse: float = 1.0
    harmless: float = 1.0

    @property
    def total(self) -> Arms:
        """The requests of all steps."""
        arms = Arms()
        for step in self.steps.values():
            arms = arms.plus(step)
        return arms


def block_length(weight: float, smaller: int) -> int:
    """Requests of both arms in a block in which the smaller arm has `smaller`. `weight` is the candidate's
    share.
    """
    return math.ceil(smaller / min(weight, 1 - weight))


def start_block(weight: float) -> int:
    """Requests of the smaller arm in the first, small blocks, so that a candidate that always errs is soon
    stopped.

    Each such block multiplies the evidence by about 1 / weight; three times the blocks that are needed for a
    hundredfold fit into `START_REQUESTS`, since how many requests a block really gives the candidate is
    chance.
    """
    return max(1, START_REQUESTS // math.ceil(3 * math.log(100) / math.log(1 / weight)))


def stripes(candidate: int, incumbent: int) -> tuple[int, int]:
    """How many equal samples a block's requests make: of the larger arm several, of the smaller one.

    Where they do not divide, the incumbent's are the larger ones, to the candidate's advantage.
    """
    if incumbent >= candidate:
        return 1, incumbent // candidate
    return -(-candidate // incumbent), 1


def shares(positions: Sequence[int], count: int, cap: int) -> float:
    """The sum over `count` stripes of min(bad requests, cap) / cap; `positions` are those of an arm's bad
    requests.
    """
    held: dict[int, int] = {}
    for position in positions:
        held[position % count] = held.get(position % count, 0) + 1
    return sum(min(bad, cap) for bad in held.values()) / cap


class _Block:
    """The requests of an unfinished block: how many, and where in its arm each bad one stood."""

    __slots__ = ("bad", "count", "opened")

    def __init__(self) -> None:
        self.count = [0, 0]
        self.bad: tuple[list[int], list[int]] = ([], [])
        self.opened = math.nan

    def add(self, arm: int, bad: bool, at: float) -> None:
        if not self.count[0] and not self.count[1]:
            self.opened = at
        if bad:
            self.bad[arm].append(self.count[arm])
        self.count[arm] += 1

    def full(self, length: int, seconds: float, at: float) -> bool:
        candidate, incumbent = self.count
        if candidate + incumbent < length or not candidate or not incumbent:
            return False
        return at - self.opened >= seconds


class TrafficTest:
    """One sequential test of one rollout, fed with its requests in the order in which they came in.

    `max_increase` is the rise of the share of bad requests that is borne (0.01 is one point). Memory is
    bounded by the bad requests of one block. Resuming from `evidence` loses only the unfinished blocks.
    """

    def __init__(self, max_increase: float, evidence: Evidence | None = None) -> None:
        kept = evidence or Evidence()
        self.max_increase = min(max_increase, 0.999)
        self._before = kept.steps
        self._main = list(kept.main)
        self._start = kept.start
        self._margin = kept.margin
        self._worse, self._harmless = kept.worse, kept.harmless
        self._percent, self._weight = 0, 0.0
        self._step = Arms()
        self._counts = [[0, 0], [0, 0]]
        self._seen = kept.total.candidate
        self._judged = kept.total
        self._fresh()

    def _fresh(self) -> None:
        self._block, self._small = _Block(), _Block()

    @property
    def evidence(self) -> Evidence:
        """What is known now."""
        steps = dict(self._before)
        if self._percent:
            steps[self._percent] = steps.get(self._percent, Arms()).plus(self._counted())
        return Evidence(
            steps=steps,
            main=tuple(self._main),
            start=self._start,
            margin=self._margin,
            worse=self._worse,
            harmless=self._harmless,
        )

    @property
    def worse(self) -> float:
        """The highest value so far of the evidence that the candidate is worse; 1 / alpha is enough."""
        return self._worse

    @property
    def harmless(self) -> float:
        """The highest value so far of the evidence that it is worse by less than `max_increase`."""
        return self._harmless

    @property
    def worse(self) -> float:
        """The highest e-value against 'no worse than the incumbent' so far."""
        return self._worse

    @property
    def harmless(self) -> float:
        """The highest e-value against 'worse by max_increase or more' so far."""
        return self._harmless

    def _counted(self) -> Arms:
        (candidate, incumbent), (bad, incumbent_bad) = self._counts
        return Arms(candidate=candidate, incumbent=incumbent, candidate_bad=bad, incumbent_bad=incumbent_bad)

    def step(self, percent: int) -> None:
        """From here on the candidate gets `percent` (1 to 99) of the requests; no block spans two steps."""
        self._before = self.evidence.steps
        self._counts = [[0, 0], [0, 0]]
        self._percent, self._weight = percent, percent / 100
        self._length = block_length(self._weight, BLOCK)
        self._small_length = block_length(self._weight, start_block(self._weight))
        self._fresh()

    def observe(self, *, candidate: bool, bad: bool, at: float) -> None:
        """One request: whose it was, whether it was bad, when it came in (seconds, from any origin)."""
        arm = 0 if candidate else 1
        self._counts[0][arm] += 1
        self._counts[1][arm] += bad
        if self._seen < START_REQUESTS:
            self._small.add(arm, bad, at)
            if self._small.full(self._small_length, 0.0, at):
                self._close_small()
            self._seen += candidate
        self._block.add(arm, bad, at)
        if self._block.full(self._length, BLOCK_SECONDS, at):
            self._close_block()

    def _close_small(self) -> None:
        """All is bet on the candidate's being the bad one: right at once if it always errs, lost at the first
        error.
        """
        block, self._small = self._small, _Block()
        ours, theirs = stripes(*block.count)
        size = min(block.count)
        own, others = (
            sum(1 for stripe in range(count) if 2 * sum(at % count == stripe for at in bad) >= size)
            for count, bad in ((ours, block.bad[0]), (theirs, block.bad[1]))
        )
        if own + others:
            self._start *= (ours + theirs) / ours * own / (own + others)
        self._raise_worse()

    def _close_block(self) -> None:
        block, self._block = self._block, _Block()
        ours, theirs = stripes(*block.count)
        before = self._judged
        past = (before.candidate_bad + before.incumbent_bad) / max(1, before.candidate + before.incumbent)
        cap = max(1, math.ceil(2 * past * min(block.count)))
        own = shares(block.bad[0], ours, cap)
        every = own + shares(block.bad[1], theirs, cap)
        for index, bet in enumerate(BETS):
            self._main[index] += math.log((1 + bet * own / ours) / (1 + bet * every / (ours + theirs)))
        self._bet_on_margin(block)
        self._judged = before.plus(
            Arms(
                candidate=block.count[0],
                candidate_bad=len(block.bad[0]),
                incumbent=block.count[1],
                incumbent_bad=len(block.bad[1]),
            )
        )
        self._raise_worse()

    def _raise_worse(self) -> None:
        value = START_SHARE * self._start + (1 - START_SHARE) * _mean(self._main)
        self._worse = max(self._worse, value)

    def _bet_on_margin(self, block: _Block) -> None:
        """A bet that the candidate is worse by less than is borne (Waudby-Smith & Ramdas 2023, JRSS B
        86:1-27).
        """
        rise = len(block.bad[0]) / block.count[0] - len(block.bad[1]) / block.count[1]
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
