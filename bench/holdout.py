"""How often the interval of the holdout check contains the true difference, by number of groups; its cost.

    python bench/holdout.py             # about five minutes on one core

Rows come in days. Each day has its own rate of positives and its own difficulty for both models, and a part of each
model's error is common to a day. So rows of a day depend on each other, as flights of a day do. The candidate is a
little worse than the incumbent. The true difference is the mean over many long samples.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from gitops_ml.core.verification.holdout_metrics import METRICS  # noqa: E402
from gitops_ml.core.verification.statistics.metrics import LabelledAnswers, statistic  # noqa: E402  (needs the path above)
from gitops_ml.core.verification.statistics.noninferiority import expanded_tail, paired_intervals  # noqa: E402

ROWS_A_DAY = 200
SAMPLES = 400
TAIL = 0.025
NAMES = ("roc_auc", "log_loss", "accuracy")

Ints = NDArray[np.int64]


def days(
    generator: np.random.Generator, count: int, rows: int = ROWS_A_DAY
) -> tuple[LabelledAnswers, LabelledAnswers, Ints]:
    """Candidate and incumbent on `count` days of `rows` rows, and each row's day."""
    day = np.repeat(np.arange(count), rows)
    rate = generator.beta(4, 12, count)[day]
    truth = (generator.random(len(day)) < rate).astype(float)
    hardness = generator.normal(0, 0.5, count)[day] + generator.normal(0, 1, len(day))
    pair = []
    for skill in (1.1, 1.2):
        own = generator.normal(0, 0.3, count)[day] * (2 * truth - 1) + generator.normal(0, 0.7, len(day))
        score = 1 / (1 + np.exp(-(skill * truth - 1.6 + hardness + own)))
        pair.append(LabelledAnswers(truth, (score > 0.5).astype(float), np.stack([1 - score, score], axis=1), 2, 1))
    return pair[0], pair[1], day


def coverage() -> Iterator[str]:
    """Lines of a table: how often the truth lies within, and beyond either end, of the plain and the wider
    interval.
    """
    generator = np.random.default_rng(42)
    truth = {name: float(np.mean([_difference(generator, name) for _ in range(20)])) for name in NAMES}
    yield "| days | metric | true difference | covered, percentile | covered, as used | too low | too high |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for count in (5, 10, 20, 31):
        for name in NAMES:
            plain = covered = low = high = 0
            # A plain percentile interval is the wider one at the tail that the widening turns into the
            # nominal one.
            for seed in range(SAMPLES):
                candidate, incumbent, day = days(np.random.default_rng((count, seed)), count)
                both = [statistic(METRICS[name], sample, day, count) for sample in (candidate, incumbent)]
                wide = paired_intervals(both, count, tails=(TAIL, TAIL), seed=seed, replicates=500)[2]
                tail = _tail_that_gives(TAIL, count)
                narrow = paired_intervals(both, count, tails=(tail, tail), seed=seed, replicates=500)[2]
                plain += narrow.low <= truth[name] <= narrow.high
                covered += wide.low <= truth[name] <= wide.high
                low += wide.high < truth[name]
                high += wide.low > truth[name]
            shares = " | ".join(f"{number / SAMPLES:.1%}" for number in (plain, covered, low, high))
            yield f"| {count} | {name} | {truth[name]:+.4f} | {shares} |"


def _difference(generator: np.random.Generator, name: str) -> float:
    candidate, incumbent, day = days(generator, 2000)
    once = np.ones((1, 2000))
    values = [statistic(METRICS[name], sample, day, 2000)(once)[0] for sample in (candidate, incumbent)]
    return float(values[0] - values[1])


def _tail_that_gives(tail: float, groups: int) -> float:
    """The tail whose expanded form is `tail`: it asks for the plain percentile interval."""
    low, high = tail, 0.5
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if expanded_tail(middle, groups) < tail else (low, middle)
    return (low + high) / 2


def cost() -> Iterator[str]:
    """1,000 paired replicates over 30,000 rows in 31 days, beside scikit-learn called once for each."""
    from sklearn.metrics import roc_auc_score

    candidate, incumbent, day = days(np.random.default_rng(1), 31, 968)
    for name in METRICS:
        if METRICS[name].kind == "value":
            continue
        began = time.perf_counter()
        both = [statistic(METRICS[name], sample, day, 31) for sample in (candidate, incumbent)]
        paired_intervals(both, 31, tails=(TAIL, TAIL), seed=1, replicates=1000)
        yield f"{name}: {time.perf_counter() - began:.2f} s for 1,000 paired replicates of {len(day):,} rows in 31 days"
    generator = np.random.default_rng(2)
    began = time.perf_counter()
    for _ in range(20):
        weight = generator.multinomial(31, [1 / 31] * 31)[day]
        for sample in (candidate, incumbent):
            assert sample.probability is not None
            roc_auc_score(sample.truth, sample.probability[:, 1], sample_weight=weight)
    yield f"roc_auc by scikit-learn: {50 * (time.perf_counter() - began):.1f} s for the same (from 20 replicates)"


if __name__ == "__main__":
    for line in chain(cost(), [""], coverage()):
        print(line, flush=True)
