"""The traffic check: fail, pass or inconclusive, and never a pass without traffic."""

from __future__ import annotations

import pytest

from gitops_ml.core.declaration.checks import Traffic
from gitops_ml.core.verification.statistics.blocks import Arms
from gitops_ml.core.verification.statistics.sequential import Evidence
from gitops_ml.core.verification.traffic import judge_traffic
from gitops_ml.core.verification.verdict import alpha_per_test

SPEC = Traffic(max_bad_increase=0.01, slow="200ms", timeout="10m")
SOME = {10: Arms(candidate=1000, candidate_bad=20, incumbent=9000, incumbent_bad=45)}


@pytest.mark.parametrize(
    ("evidence", "elapsed", "result", "says"),
    [
        (Evidence(), 5, "inconclusive", "no requests came to the candidate"),
        (Evidence(), 700, "inconclusive", "no requests came to the candidate within 10m"),
        (Evidence(steps={10: Arms(candidate=5)}), 5, "inconclusive", "no requests came to the incumbent"),
        (Evidence(steps=SOME), 5, "inconclusive", "not enough to tell"),
        (Evidence(steps=SOME, worse=20.0), 5, "fail", "20 of 1000 requests to the candidate were bad, 45 of 9000"),
        (Evidence(steps=SOME, harmless=20.0, closed=1), 5, "pass", "worse by less than 0.01"),
        (Evidence(steps=SOME, harmless=20.0), 5, "inconclusive", "not enough to tell"),
        (Evidence(steps=SOME, harmless=20.0, closed=1, worse=20.0), 5, "fail", "worse"),
    ],
)
def test_traffic_is_judged(evidence: Evidence, elapsed: float, result: str, says: str) -> None:
    check = judge_traffic(SPEC, evidence, elapsed=elapsed)
    assert check.result == result and says in check.reason


def test_the_figures_of_the_traffic_check() -> None:
    check = judge_traffic(SPEC, Evidence(steps=SOME), elapsed=5)
    assert check.figures["increase"] == pytest.approx(0.015)
    assert check.figures["evidence_needed"] == 20


def test_a_smaller_alpha_needs_more_evidence() -> None:
    evidence = Evidence(steps=SOME, worse=30.0)
    assert judge_traffic(SPEC, evidence, elapsed=5, alpha=alpha_per_test(0.05, 2)).result == "inconclusive"


def test_requests_that_were_never_counted_are_among_the_figures() -> None:
    assert "log" not in judge_traffic(SPEC, Evidence(steps=SOME), elapsed=5).figures
    assert "unread" in str(judge_traffic(SPEC, Evidence(steps=SOME), elapsed=5, lost=True).figures["log"])
