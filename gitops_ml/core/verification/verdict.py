"""What a check says and what all checks together mean, so that 'not enough evidence' can never be read as
success.

A check gives pass, fail or inconclusive, one sentence and the figures that decided it; a verdict is drawn
from checks by one rule, here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from gitops_ml.core.verification.probe_result import Scalar, TargetResult

Result = Literal["pass", "fail", "inconclusive"]
Verdict = Literal["Verified", "Failed", "Inconclusive", "Unverified"]
Figure = float | int | str | None | list[float | int | str]

_NOT_READY = "it never became ready"

ALPHA = 0.05
"""The chance that a candidate which is no worse than the incumbent is stopped, over all that compares the two: traffic,
and `max_drop` of a hold-out. An absolute `min` or `max` is decided by the point estimate, and is no part of it.
"""


class CheckResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """One check's answer. `reason` is one sentence without a full stop; `figures` are what decided it.

    An `advisory` check is for people to read: whatever it says, no verdict is drawn from it.
    """

    name: str
    result: Result
    reason: str
    figures: dict[str, Figure] = {}
    advisory: bool = False

    @property
    def said(self) -> str:
        """Its result in one word, as a person reads it."""
        return "advises" if self.advisory and self.result == "fail" else self.result

    @property
    def decides(self) -> bool:
        """Whether it keeps a verdict from being Verified."""
        return self.result != "pass" and not self.advisory


def overall(checks: Iterable[CheckResult]) -> Verdict:
    """The verdict of all checks: any fail is Failed, else any inconclusive is Inconclusive; no check is
    Unverified. Advisory ones are left out.
    """
    results = {check.result for check in checks if not check.advisory}
    if not results:
        return "Unverified"
    if "fail" in results:
        return "Failed"
    return "Inconclusive" if "inconclusive" in results else "Verified"


def share(alpha: float, checks: int) -> float:
    """What each of `checks` checks may spend of `alpha`, so that together they spend no more (Bonferroni)."""
    return alpha / max(1, checks)


def judge_ready(target: TargetResult) -> CheckResult:
    """Judge whether the candidate came up as what was declared.

    Ready means that its own metadata names the expected version and digest; a 200 alone says nothing.
    """
    figures: dict[str, Figure] = {"ready_seconds": target.ready_seconds}
    if target.ready:
        after = "" if target.ready_seconds is None else f" after {target.ready_seconds:.1f} s"
        return CheckResult(name="ready", result="pass", reason=f"its metadata is as declared{after}", figures=figures)
    return CheckResult(name="ready", result="fail", reason=_reason(target.error, _NOT_READY), figures=figures)


def judge_smoke(target: TargetResult) -> CheckResult:
    """Judge whether the candidate answers one real inference, its model's stored example, with usable numbers.

    A candidate that is not ready fails; a model that stores no example cannot be judged and is inconclusive.
    """
    if not target.ready:
        return CheckResult(name="smoke", result="fail", reason=_reason(target.error, _NOT_READY))
    smoke = target.smoke
    if smoke is None:
        return CheckResult(name="smoke", result="inconclusive", reason="the model stores no example request")
    figures: dict[str, Figure] = {"seconds": smoke.seconds}
    if not smoke.ok:
        reason = _reason(smoke.error, "the example request was not answered")
        return CheckResult(name="smoke", result="fail", reason=reason, figures=figures)
    outputs = smoke.outputs
    figures["outputs"] = sorted(outputs)
    empty = sorted(name for name, values in outputs.items() if not values)
    broken = sorted(name for name, values in outputs.items() if any(map(_is_broken, values)))
    if not outputs or empty:
        reason = f"the answer to the example request holds no data{': ' + ', '.join(empty) if empty else ''}"
        return CheckResult(name="smoke", result="fail", reason=reason, figures=figures)
    if broken:
        reason = f"the answer to the example request is not a number: {', '.join(broken)}"
        return CheckResult(name="smoke", result="fail", reason=reason, figures=figures)
    return CheckResult(name="smoke", result="pass", reason="it answers its example request", figures=figures)


def _reason(error: str | None, fallback: str) -> str:
    return error.strip().rstrip(".") if error else fallback


def _is_broken(value: Scalar) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))
