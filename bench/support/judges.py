"""Three judges of the same simulated canaries, for thousands of streams at once.

`sequential` is the arithmetic of gitops_ml.core.verification.statistics.sequential over arrays; bench/verdicts.py first
compares it with that module, stream by stream. The other two are in use elsewhere: a fixed threshold checked each
minute (Flagger's default: success of at least 99 %), and a Mann-Whitney test of the rates per minute (as Kayenta: 98 %
interval, tolerance of a quarter of the estimate, a gate on the ratio of means).
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from bench.support.streams import MINUTES, PER_MINUTE, Flags
from gitops_ml.core.verification.statistics.blocks import BLOCK, QUIET, START_REQUESTS, block_length
from gitops_ml.core.verification.statistics.sequential import BETS, MARGIN_BET, START_SHARE, TrafficTest

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
NEVER = np.iinfo(np.int64).max
LOOKS = (5, 10, 15, 20, 25)


@dataclass(frozen=True)
class Blocks:
    """Closed blocks of each stream, arrays of shape (streams, blocks). `seen`: candidate requests at its
    close.
    """

    candidate: Ints
    incumbent: Ints
    candidate_bad: Ints
    incumbent_bad: Ints
    seen: Ints
    length: int


def blocks(own: Flags, bad: Flags, weight: float) -> Blocks:
    """The blocks of `TrafficTest`. Streams end at different numbers of blocks; what lacks repeats the last
    close.
    """
    length = block_length(weight, BLOCK)
    rows, size = np.arange(len(own)), own.shape[1]
    totals = [_running(own), _running(own & bad), _running(~own & bad)]
    closes = _next_close(own, bad)
    at = np.zeros(len(own), dtype=np.int64)
    cuts = [at]
    while (at < size).any():
        soonest = np.minimum(at + length, size)
        quiet = closes[rows, soonest - 1]
        end = np.minimum(np.maximum(quiet, soonest), at + 2 * length)
        at = np.where((at + length > size) | (end > size), size, end)
        cuts.append(at)
    # What a stream's end cuts off is no block: there the last cut is taken again.
    edges = np.stack(cuts, axis=1)
    edges = np.maximum.accumulate(np.where(edges == size, 0, edges), axis=1)
    candidate, candidate_bad, incumbent_bad = (
        np.diff(total[rows[:, None], edges], axis=1).astype(np.int64) for total in totals
    )
    seen = totals[0][rows[:, None], edges][:, 1:].astype(np.int64)
    return Blocks(candidate, np.diff(edges, axis=1) - candidate, candidate_bad, incumbent_bad, seen, length)


def _running(flags: Flags) -> NDArray[np.int32]:
    """How many are true before each place; one column more than `flags`."""
    total = np.zeros((len(flags), flags.shape[1] + 1), dtype=np.int32)
    np.cumsum(flags, axis=1, dtype=np.int32, out=total[:, 1:])
    return total


def _next_close(own: Flags, bad: Flags) -> NDArray[np.int32]:
    """After each request, the number of requests at which next both arms have been good `QUIET` times."""
    size = own.shape[1]
    loud = np.zeros((len(own), size + 1), dtype=np.int16)
    for arm in (own, ~own):
        cells = np.flatnonzero(arm)
        at = np.flatnonzero(bad.ravel()[cells])
        until = cells[np.minimum(at + QUIET, len(cells) - 1)]
        row = cells[at] // size
        inside = (until // size == row) & (at + QUIET < len(cells))
        np.add.at(loud, (row, cells[at] % size), 1)
        np.add.at(loud, (row, np.where(inside, until % size, size)), -1)
    loud = np.cumsum(loud, axis=1, dtype=np.int16)[:, :-1]
    place = np.arange(1, size + 1, dtype=np.int32)
    ahead = np.where(loud > 0, np.int32(2**31 - 1), place)[:, ::-1]
    return np.asarray(np.minimum.accumulate(ahead, axis=1)[:, ::-1])


def worse(found: Blocks, start: Floats) -> Floats:
    """The e-process against 'no worse' at each block's close. `start` is what the first, small blocks gave."""
    every = found.candidate_bad + found.incumbent_bad
    chance = found.candidate / np.maximum(1, found.candidate + found.incumbent)
    share = np.where(every > 0, found.candidate_bad / np.maximum(1, every), chance)
    total = np.zeros(share.shape)
    for bet in BETS:
        total += np.exp(np.minimum(np.cumsum(np.log((1 + bet * share) / (1 + bet * chance)), axis=1), 600))
    return np.maximum(START_SHARE * start[:, None], (1 - START_SHARE) * total / len(BETS))


def _rise(found: Blocks, against: float) -> Floats:
    """The candidate's share of bad requests minus the incumbent's, by block; `against` where there is no
    block.
    """
    ours = found.candidate_bad / np.maximum(1, found.candidate)
    theirs = found.incumbent_bad / np.maximum(1, found.incumbent)
    longer = (found.candidate + found.incumbent) / found.length
    return np.where(found.candidate > 0, np.minimum(1.0, longer * (ours - theirs)), against)


def harmless(found: Blocks, margin: float) -> Floats:
    """The e-process against 'worse by the margin or more'."""
    steps = np.log1p(MARGIN_BET / (1 - margin) * (margin - _rise(found, margin)))
    return np.asarray(np.exp(np.cumsum(steps, axis=1)))


def worse_by(found: Blocks, margin: float) -> Floats:
    """The e-process against 'worse by no more than the margin', the stop with a margin that the table
    reports.
    """
    excess = _rise(found, margin) - margin
    paths = [np.cumsum(np.log1p(bet / (1 + margin) * excess), axis=1) for bet in (0.1, 0.3, 0.95)]
    return np.asarray(np.mean([np.exp(np.minimum(path, 600)) for path in paths], axis=0))


def first(values: Floats, seen: Ints, threshold: float) -> Ints:
    """Candidate requests at which each stream first reached the threshold, or NEVER."""
    hit = values >= threshold
    at = np.take_along_axis(seen, hit.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(hit.any(axis=1), at, NEVER)


def starts(own: Flags, bad: Flags, percent: int, threshold: float) -> tuple[Floats, Ints]:
    """What the first, small blocks gave each stream, and where they alone reached the threshold: by the core
    itself.
    """
    values, stopped = np.ones(len(own)), np.full(len(own), NEVER)
    for row in range(len(own)):
        test = TrafficTest(0.01)
        test.step(percent)
        seen = 0
        for at, (candidate, is_bad) in enumerate(zip(own[row].tolist(), bad[row].tolist(), strict=True)):
            test.observe(candidate=candidate, bad=is_bad, at=at)
            seen += candidate
            if test.worse >= threshold and stopped[row] == NEVER:
                stopped[row] = seen
            if seen >= START_REQUESTS:
                break
        values[row] = test.evidence.start
    return values, stopped


def fixed_threshold(own: Flags, bad: Flags) -> Ints:
    """Stop at the 10th of 25 minutes in which fewer than 99 % of the candidate's requests were good."""
    ours, ours_bad = _minutes(own), _minutes(own & bad)
    failing = np.cumsum(ours_bad > 0.01 * ours, axis=1)
    hit = failing >= 10
    at = np.take_along_axis(np.cumsum(ours, axis=1), hit.argmax(axis=1)[:, None], axis=1)[:, 0]
    return np.where(hit.any(axis=1), at, NEVER)


def mann_whitney(own: Flags, bad: Flags) -> Ints:
    """Stop where the 98 % interval of the shift of the minutes' rates lies above a quarter of its estimate.

    Looked at every five minutes; gate: the candidate's mean rate is at least 1.25 times the incumbent's.
    """
    ours, ours_bad = _minutes(own), _minutes(own & bad)
    rate = ours_bad / np.maximum(1, ours)
    other = (_minutes(bad) - ours_bad) / np.maximum(1, PER_MINUTE - ours)
    stopped = np.full(len(own), NEVER)
    z = NormalDist().inv_cdf(0.99)
    for look in (at for at in LOOKS if at <= ours.shape[1]):
        shifts = np.sort((rate[:, :look, None] - other[:, None, :look]).reshape(len(own), -1), axis=1)
        rank = max(0, round(look * look / 2 - z * np.sqrt(look * look * (2 * look + 1) / 12)))
        estimate = np.median(shifts, axis=1)
        gate = rate[:, :look].mean(axis=1) >= 1.25 * other[:, :look].mean(axis=1)
        stop = (shifts[:, rank] > 0.25 * np.abs(estimate)) & gate & (stopped == NEVER)
        stopped[stop] = ours[stop, :look].sum(axis=1)
    return stopped


def _minutes(flags: Flags) -> Ints:
    number = min(MINUTES, flags.shape[1] // PER_MINUTE)
    counts: Ints = flags[:, : number * PER_MINUTE].reshape(len(flags), number, PER_MINUTE).sum(axis=2)
    return counts
