"""The traffic check: what the sequential test of a canary means for its rollout.

Worse than the incumbent: stop. Worse by less than is borne: pass. Neither, or no traffic at all:
inconclusive, however long it has waited, since silence is no evidence.
"""

from __future__ import annotations

from gitops_ml.core.declaration.schema import Traffic, seconds
from gitops_ml.core.verification.blocks import BLOCK, BLOCK_SECONDS
from gitops_ml.core.verification.names import ALPHA
from gitops_ml.core.verification.sequential import Evidence, least_requests
from gitops_ml.core.verification.verdict import CheckResult, Figure


def judge_traffic(spec: Traffic, evidence: Evidence, *, elapsed: float, alpha: float = ALPHA) -> CheckResult:
    """The verdict on a candidate by its traffic so far; may be asked after every request.

    `elapsed` in seconds since the candidate got its first traffic. `alpha` is the chance, over all looks,
    that a candidate that is no worse is stopped, and that one which is worse by `max_bad_increase` or more
    passes; the second is a little more in long bursts (`gitops_ml.core.sequential`).
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
    counts = (
        f"{total.candidate_bad} of {total.candidate} requests to the candidate were bad, "
        f"{total.incumbent_bad} of {total.incumbent} to the incumbent"
    )
    if evidence.worse >= 1 / alpha:
        return CheckResult(name="traffic", result="fail", reason=f"{counts}: worse", figures=figures)
    if evidence.shows_harmless(1 / alpha):
        reason = f"{counts}: worse by less than {spec.max_bad_increase:g}"
        return CheckResult(name="traffic", result="pass", reason=reason, figures=figures)
    waited = elapsed >= seconds(spec.timeout)
    if not total.candidate or not total.incumbent:
        reason = f"no requests came to {'the candidate' if not total.candidate else 'the incumbent'}"
    else:
        reason = f"{counts}: not enough to tell"
    if waited:
        reason += f" within {spec.timeout}"
    return CheckResult(name="traffic", result="inconclusive", reason=reason, figures=figures)


def impossible(spec: Traffic, alpha: float = ALPHA) -> str | None:
    """Why this check could not pass at any rate of requests; None if it can. Blocks of the test last a second
    each.
    """
    needed = least_requests(spec.max_bad_increase, alpha)
    if needed is None:
        return "max_bad_increase of 0 can never be shown: any rise above 0 can"
    least = needed / BLOCK * BLOCK_SECONDS
    if least > seconds(spec.timeout):
        return (
            f"max_bad_increase {spec.max_bad_increase:g} takes {needed} requests to the candidate and at least "
            f"{least:.0f} s, and timeout is {spec.timeout}"
        )
    return None
