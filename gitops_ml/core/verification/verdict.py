"""The result of one check, and the verdict of all checks together.

A check gives pass, fail or inconclusive, with one sentence and the figures that decided it. One rule, `overall`, makes
the verdict, so that 'not enough evidence' never counts as success.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import msgspec

from gitops_ml.core.text import clean_line
from gitops_ml.core.verification.probe_result import Scalar, TargetResult

Result = Literal["pass", "fail", "inconclusive"]
Verdict = Literal["Verified", "Failed", "Inconclusive", "Unverified"]
Figure = float | int | str | None | list[float | int | str]

_NOT_READY = "it never became ready"


class CheckResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The result of one check. `reason` is one sentence without a full stop; `figures` decided it.

    An `advisory` check informs people. Its result never changes the verdict.
    """

    name: str
    result: Result
    reason: str
    figures: dict[str, Figure] = {}
    advisory: bool = False

    @property
    def word(self) -> str:
        """The result in one word, for people."""
        return "advises" if self.advisory and self.result == "fail" else self.result

    @property
    def prevents_verified(self) -> bool:
        """Whether this result alone keeps the verdict from being Verified."""
        return self.result != "pass" and not self.advisory


def overall(checks: Iterable[CheckResult]) -> Verdict:
    """The verdict of all checks, advisory ones left out.

    Failed if any check failed, else Inconclusive if any is inconclusive, else Verified. Unverified without a check.
    """
    results = {check.result for check in checks if not check.advisory}
    if not results:
        return "Unverified"
    if "fail" in results:
        return "Failed"
    return "Inconclusive" if "inconclusive" in results else "Verified"


def alpha_per_test(alpha: float, tests: int) -> float:
    """The error that each of these tests may have, so that together they have at most `alpha` (Bonferroni)."""
    return alpha / max(1, tests)


def judge_ready(target: TargetResult, evidence: str = "its metadata is as declared", unproven: str = "") -> CheckResult:
    """Judge whether the candidate is ready and is what was declared.

    Of our server its own metadata names the expected version and digest; an HTTP status of 200 is not enough. An image
    was declared by its digest. The application of an embedded model says what it has loaded, if it can.

    Args:
        evidence: what shows that, for the reason of a pass.
        unproven: what nothing shows.
    """
    figures: dict[str, Figure] = {"ready_seconds": target.ready_seconds}
    if target.ready:
        after = "" if target.ready_seconds is None else f" after {target.ready_seconds:.1f} s"
        reason = f"{evidence}{after}" + (f"; {unproven}" if unproven else "")
        return CheckResult(name="ready", result="pass", reason=reason, figures=figures)
    return CheckResult(name="ready", result="fail", reason=_reason(target.error, _NOT_READY), figures=figures)


def judge_alive(restarts: int) -> CheckResult:
    """Judge whether the candidate keeps running among users. One that the engine had to start again gets no more."""
    if not restarts:
        return CheckResult(name="alive", result="pass", reason="its containers have not ended")
    reason = f"its container ended {restarts} times and was started again"
    return CheckResult(name="alive", result="fail", reason=reason, figures={"restarts": restarts})


def judge_smoke(target: TargetResult) -> CheckResult:
    """Judge whether the candidate answers its model's stored example with usable values.

    A candidate that is not ready fails. A model that stores no example is inconclusive.
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


def clean_check(check: CheckResult) -> CheckResult:
    """Remove from a check what could forge a trailer of the commit, or could not be written as UTF-8."""
    figures = {clean_line(name): clean_line(f) if isinstance(f, str) else f for name, f in check.figures.items()}
    return msgspec.structs.replace(check, name=clean_line(check.name), reason=clean_line(check.reason), figures=figures)
