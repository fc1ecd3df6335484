"""The interval of a share against published tables."""

from __future__ import annotations

import pytest

from gitops_ml.core.verification.statistics.wilson import wilson_interval


def test_the_interval_equals_published_tables() -> None:
    # Newcombe 1998, Statistics in Medicine 17:857-872, table I: 81 of 263.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_more_rows_with_the_same_share_narrow_the_interval() -> None:
    assert wilson_interval(5, 10) == pytest.approx((0.2365931, 0.7634069), abs=1e-6)
    assert wilson_interval(50, 100) == pytest.approx((0.4038315, 0.5961685), abs=1e-6)
    assert wilson_interval(0, 50)[0] == 0.0
