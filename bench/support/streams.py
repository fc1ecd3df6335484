"""Simulated requests of a canary: to which arm each goes, and which are bad, in patterns that real services show.

Each pattern has the same share of bad requests in the long run. In a `shared` burst the service behind both arms
stalls. In an `own` burst only one arm stalls (a replica, for example).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]
PER_MINUTE = 2400
MINUTES = 25
REQUESTS = PER_MINUTE * MINUTES
DAY = 40_000
"""Requests in one simulated day: shorter than a stream, so that each stream sees the rate at its highest and
lowest.
"""


@dataclass(frozen=True)
class Case:
    """Streams to simulate: `weight` is the candidate's share of requests, `dealt` how they are dealt."""

    shape: str
    incumbent: float
    candidate: float
    weight: float = 0.1
    dealt: str = "random"
    requests: int = REQUESTS

    @property
    def same(self) -> bool:
        return self.incumbent == self.candidate


def streams(case: Case, count: int, seed: int) -> tuple[Flags, Flags]:
    """Whose each request is (true: the candidate's) and whether it is bad, both of shape (count, requests)."""
    generator = np.random.default_rng(seed)
    shape = (count, case.requests)
    if case.dealt == "random":
        own = generator.random(shape, dtype=np.float32) < case.weight
    else:
        turns = round(1 / case.weight)
        own = (np.arange(case.requests) + generator.integers(0, turns, (count, 1))) % turns == 0
    return own, _shape(case.shape)(generator, own, case.incumbent, case.candidate)


def _shape(name: str) -> Callable[[np.random.Generator, Flags, float, float], Flags]:
    return _own(40) if name == "own bursts of 40" else SHAPES[name]


def _independent(generator: np.random.Generator, own: Flags, incumbent: float, candidate: float) -> Flags:
    rate = np.where(own, np.float32(candidate), np.float32(incumbent))
    return generator.random(own.shape, dtype=np.float32) < rate


def _rhythm(generator: np.random.Generator, own: Flags, incumbent: float, candidate: float) -> Flags:
    start = generator.random((len(own), 1)) * 2 * np.pi
    hour = 1 + 0.9 * np.sin(start + np.arange(own.shape[1]) * 2 * np.pi / DAY)
    rate = (np.where(own, candidate, incumbent) * hour).astype(np.float32)
    return generator.random(own.shape, dtype=np.float32) < rate


def _periodic(generator: np.random.Generator, own: Flags, incumbent: float, candidate: float) -> Flags:
    period = round(1 / incumbent)
    bad = (np.arange(own.shape[1]) + generator.integers(0, period, (len(own), 1))) % period == 0
    more = _independent(generator, own, 0.0, max(0.0, candidate - incumbent))
    return np.asarray(bad | more)


def _shared(length: int) -> Callable[[np.random.Generator, Flags, float, float], Flags]:
    def bursts(generator: np.random.Generator, own: Flags, incumbent: float, candidate: float) -> Flags:
        bad = np.zeros(own.shape, dtype=bool)
        rows, columns = np.nonzero(generator.random(own.shape, dtype=np.float32) < incumbent / length)
        for offset in range(length):
            inside = columns + offset < own.shape[1]
            bad[rows[inside], columns[inside] + offset] = True
        return bad | _own(length)(generator, own, 0.0, max(0.0, candidate - incumbent))

    return bursts


def _own(length: int) -> Callable[[np.random.Generator, Flags, float, float], Flags]:
    def bursts(generator: np.random.Generator, own: Flags, incumbent: float, candidate: float) -> Flags:
        bad = np.zeros(own.shape, dtype=bool)
        for arm, rate in ((own, candidate), (~own, incumbent)):
            cells = np.flatnonzero(arm)
            starts = np.flatnonzero(generator.random(len(cells), dtype=np.float32) < rate / length)
            for offset in range(length):
                there = starts[starts + offset < len(cells)]
                first, now = cells[there], cells[there + offset]
                same = first // own.shape[1] == now // own.shape[1]
                bad.ravel()[now[same]] = True
        return bad

    return bursts


SHAPES: dict[str, Callable[[np.random.Generator, Flags, float, float], Flags]] = {
    "independent": _independent,
    "shared bursts of 5": _shared(5),
    "shared bursts of 20": _shared(20),
    "own bursts of 5": _own(5),
    "own bursts of 20": _own(20),
    "periodic": _periodic,
    "day's rhythm": _rhythm,
}
