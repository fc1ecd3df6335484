"""Blocks of time, into which the requests of both arms of a canary are cut before anything is concluded from
them.

Requests come in bursts; what a block adds up to is the unit of evidence of gitops_ml.core.sequential.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

BLOCK = 20
"""Requests of the smaller arm in a block: as long as a usual burst, short enough to look often."""
BLOCK_SECONDS = 1.0
QUIET = 3
"""A block stays open, up to twice its length, until this many requests of each arm were good: no burst is
cut.
"""
START_REQUESTS = 20


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


class Block:
    """The requests of an unfinished block, and the bad ones among them: the candidate's, the incumbent's."""

    __slots__ = ("bad", "count", "opened")

    def __init__(self, kept: Arms | None = None, opened: float = 0.0) -> None:
        arms = kept or Arms()
        self.count = [arms.candidate, arms.incumbent]
        self.bad = [arms.candidate_bad, arms.incumbent_bad]
        self.opened = opened

    def add(self, arm: int, requests: int, bad: int, at: float) -> None:
        # Another process may count time from another origin: a block that would end before it began begins
        # now.
        if at < self.opened or (not self.count[0] and not self.count[1]):
            self.opened = at
        self.count[arm] += requests
        self.bad[arm] += bad

    def full(self, length: int) -> bool:
        """Whether it has its length, and requests of both arms."""
        return self.count[0] + self.count[1] >= length and self.count[0] > 0 and self.count[1] > 0

    @property
    def arms(self) -> Arms:
        return arms_of(self.count, self.bad)

    @property
    def chance(self) -> float:
        """The candidate's share of the requests: what is expected of its share of the bad ones."""
        return self.count[0] / sum(self.count)

    @property
    def share(self) -> float:
        """The candidate's share of the bad requests; there has to be one."""
        return self.bad[0] / sum(self.bad)


def arms_of(count: Sequence[int], bad: Sequence[int]) -> Arms:
    """Counts of the candidate and the incumbent, in this order."""
    return Arms(candidate=count[0], candidate_bad=bad[0], incumbent=count[1], incumbent_bad=bad[1])
