"""The population stability index, and the value that chance alone reaches."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gitops_ml.core.verification.statistics.psi import chi_square_quantile, population_stability


def test_the_index_equals_a_hand_calculation() -> None:
    drift = population_stability({"a": 500, "b": 500}, {"a": 750, "b": 250})
    assert drift is not None
    assert drift.index == pytest.approx(0.25 * math.log(1.5) - 0.25 * math.log(0.5))
    assert drift.beyond_chance


def test_an_unseen_category_counts_but_not_infinitely() -> None:
    drift = population_stability({"a": 1000}, {"a": 900, "new": 100})
    assert drift is not None and 0.3 < drift.index < 1 and drift.beyond_chance


def test_too_few_rows_give_no_index() -> None:
    assert population_stability({"a": 10_000}, {"a": 199}) is None
    assert population_stability({}, {}) is None


def test_without_drift_the_index_rarely_exceeds_chance() -> None:
    generator = np.random.default_rng(3)
    beyond = 0
    for _ in range(400):
        before, now = (generator.multinomial(rows, [0.1] * 10) for rows in (5000, 500))
        trained, live = ({str(name): int(count) for name, count in enumerate(side)} for side in (before, now))
        drift = population_stability(trained, live)
        assert drift is not None
        beyond += drift.beyond_chance
    assert beyond <= 12


@pytest.mark.parametrize("freedom", [1, 2, 5, 9, 50])
def test_chi_square_quantile(freedom: int) -> None:
    from scipy import stats

    assert chi_square_quantile(0.99, freedom) == pytest.approx(stats.chi2.ppf(0.99, freedom), rel=0.015)


@pytest.mark.parametrize("freedom", [1, 2, 3, 5, 9, 50])
@pytest.mark.parametrize("features", [1, 17])
def test_the_quantile_is_conservative_where_it_is_used(freedom: int, features: int) -> None:
    from scipy import stats

    probability = 1 - 0.01 / features
    exact = float(stats.chi2.ppf(probability, freedom))
    assert exact * (1 - 1e-9) <= chi_square_quantile(probability, freedom) <= exact * 1.03
