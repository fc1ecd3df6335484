"""Blocks of time, into which the requests of both arms of a canary are cut.

Requests come in bursts, so single requests are not independent. The sums of a block are the unit of evidence in
`sequential`. The arms are the candidate and the incumbent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

BLOCK = 20
"""Requests of the smaller arm in a block: as long as a usual burst, and short enough for frequent looks."""
BLOCK_SECONDS = 1.0
"""A block lasts at least this long."""
QUIET = 3
"""A block stays open, up to twice its length, until each arm had so many good requests in a row: no burst is cut."""
START_REQUESTS = 20
"""The candidate's first requests, which are cut into smaller blocks as well."""


class Arms(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of requests and bad requests of both arms."""

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
    """Requests of both arms in a block in which the smaller arm has `smaller`.

    Args:
        weight: the candidate's share of the traffic, between 0 and 1.
    """
    return math.ceil(smaller / min(weight, 1 - weight))


def start_block(weight: float) -> int:
    """Requests of the smaller arm in the small first blocks, which stop a candidate that always fails early.

    If every request fails, each such block multiplies the evidence by about 1 / weight. Three times the blocks that a
    hundredfold takes fit into START_REQUESTS, since chance decides how many requests a block gives the candidate.
    """
    return max(1, START_REQUESTS // math.ceil(3 * math.log(100) / math.log(1 / weight)))


class Block:
    """An unfinished block: requests and bad requests, as [candidate, incumbent], and when it was opened (seconds)."""

    __slots__ = ("bad", "count", "opened")

    def __init__(self, counted: Arms | None = None, opened: float = 0.0) -> None:
        arms = counted or Arms()
        self.count = [arms.candidate, arms.incumbent]
        self.bad = [arms.candidate_bad, arms.incumbent_bad]
        self.opened = opened

    def add(self, arm: int, requests: int, bad: int, at: float) -> None:
        # Another process may count time from another origin: a block from the future is taken to begin now.
        if at < self.opened or (not self.count[0] and not self.count[1]):
            self.opened = at
        self.count[arm] += requests
        self.bad[arm] += bad

    def full(self, length: int) -> bool:
        """Whether the block has `length` requests, some of each arm."""
        return self.count[0] + self.count[1] >= length and self.count[0] > 0 and self.count[1] > 0

    @property
    def arms(self) -> Arms:
        return arms_of(self.count, self.bad)

    @property
    def chance(self) -> float:
        """The candidate's share of the requests: its expected share of the bad ones, if it is no worse."""
        return self.count[0] / sum(self.count)

    @property
    def share(self) -> float:
        """The candidate's share of the bad requests. The block must have a bad one."""
        return self.bad[0] / sum(self.bad)


def arms_of(count: Sequence[int], bad: Sequence[int]) -> Arms:
    """Arms from two pairs of numbers: the candidate's, then the incumbent's."""
    return Arms(candidate=count[0], candidate_bad=bad[0], incumbent=count[1], incumbent_bad=bad[1])
