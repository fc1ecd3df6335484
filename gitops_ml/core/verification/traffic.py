"""The traffic check: what the sequential test of a canary or a shadow means for its rollout.

Worse than the incumbent is a fail. Worse by less than `max_bad_increase` is a pass. Anything else is inconclusive, also
after a long wait without traffic.
"""

from __future__ import annotations

from gitops_ml.core.declaration.checks import Traffic
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.verification.holdout_metrics import ALPHA
from gitops_ml.core.verification.statistics.blocks import BLOCK, BLOCK_SECONDS
from gitops_ml.core.verification.statistics.sequential import Evidence, least_requests
from gitops_ml.core.verification.verdict import CheckResult, Figure


def judge_traffic(
    spec: Traffic, evidence: Evidence, *, elapsed: float, alpha: float = ALPHA, lost: bool = False
) -> CheckResult:
    """Judge a candidate by its traffic so far. May be called after every request.

    Args:
        elapsed: seconds since the candidate got its first traffic.
        alpha: the error rate over all calls together. At most this often a candidate that is no worse fails, and at
            most this often one passes that is worse by `max_bad_increase`. In long bursts the second is slightly larger
            (see `sequential`).
        lost: whether some requests were never counted.
    """
    total = evidence.total
    figures: dict[str, Figure] = {
        "candidate_requests": total.candidate,
        "candidate_bad": total.candidate_bad,
        "incumbent_requests": total.incumbent,
        "incumbent_bad": total.incumbent_bad,
        "increase": total.increase,
        "max_bad_increase": spec.max_bad_increase,
        "evidence_worse": evidence.worse,
        "evidence_harmless": evidence.harmless,
        "evidence_needed": 1 / alpha,
        "seconds": elapsed,
    }
    if lost:
        figures["log"] = "some requests were rotated away unread"
    counts = (
        f"{total.candidate_bad} of {total.candidate} requests to the candidate were bad, "
        f"{total.incumbent_bad} of {total.incumbent} to the incumbent"
    )
    if evidence.worse >= 1 / alpha:
        return CheckResult(name="traffic", result="fail", reason=f"{counts}: worse", figures=figures)
    if evidence.shows_harmless(1 / alpha):
        reason = f"{counts}: worse by less than {spec.max_bad_increase:g}"
        return CheckResult(name="traffic", result="pass", reason=reason, figures=figures)
    if not total.candidate or not total.incumbent:
        reason = f"no requests came to {'the candidate' if not total.candidate else 'the incumbent'}"
    else:
        reason = f"{counts}: not enough to tell"
    if elapsed >= seconds(spec.timeout):
        reason += f" within {spec.timeout}"
    return CheckResult(name="traffic", result="inconclusive", reason=reason, figures=figures)


def why_impossible(spec: Traffic, alpha: float = ALPHA) -> str | None:
    """Why this check cannot pass at any rate of requests; None if it can."""
    needed = least_requests(spec.max_bad_increase, alpha)
    if needed is None:
        return "a max_bad_increase of 0 can never be shown, and any value above 0 can"
    at_least = needed / BLOCK * BLOCK_SECONDS
    if at_least > seconds(spec.timeout):
        return (
            f"max_bad_increase {spec.max_bad_increase:g} takes {needed} requests to the candidate and at least "
            f"{at_least:.0f} s, and timeout is {spec.timeout}"
        )
    return None
