"""What a check says and what all checks together mean, so that 'not enough evidence' can never be read as
success.

A check gives pass, fail or inconclusive, one sentence and the figures that decided it; a verdict is drawn
from checks by one rule, here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec

Result = Literal["pass", "fail", "inconclusive"]
Verdict = Literal["Verified", "Failed", "Inconclusive", "Unverified"]
Figure = float | int | str | None | list[float | int | str]


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


def judge_ready(target: Mapping[str, Any]) -> CheckResult:
    """Whether the candidate came up as what was declared, from one target of a probe's result.

    Ready means that its own metadata names the expected version and digest; a 200 alone says nothing.
    """
    waited = target.get("ready_seconds")
    figures: dict[str, Figure] = {"ready_seconds": waited}
    if target.get("ready") is True:
        after = f" after {waited:.1f} s" if isinstance(waited, int | float) else ""
        return CheckResult(name="ready", result="pass", reason=f"its metadata is as declared{after}", figures=figures)
    return CheckResult(name="ready", result="fail", reason=_sentence(target, "it never became ready"), figures=figures)


def judge_smoke(target: Mapping[str, Any]) -> CheckResult:
    """Whether the candidate answers one real inference, its model's stored example, with usable numbers.

    `target` is one target of a probe's result. A candidate that is not ready fails; a model that stores no
    example cannot be judged and is inconclusive.
    """
    if target.get("ready") is not True:
        return CheckResult(name="smoke", result="fail", reason=_sentence(target, "it never became ready"))
    smoke = target.get("smoke")
    if not isinstance(smoke, Mapping):
        return CheckResult(name="smoke", result="inconclusive", reason="the model stores no example request")
    figures: dict[str, Figure] = {"seconds": smoke.get("seconds")}
    if smoke.get("ok") is not True:
        reason = _sentence(smoke, "the example request was not answered")
        return CheckResult(name="smoke", result="fail", reason=reason, figures=figures)
    outputs = smoke.get("outputs") or {}
    figures["outputs"] = sorted(outputs)
    empty = sorted(name for name, data in outputs.items() if not list(_leaves(data)))
    broken = sorted(name for name, data in outputs.items() if any(_is_broken(leaf) for leaf in _leaves(data)))
    if not outputs or empty:
        reason = f"the answer to the example request holds no data{': ' + ', '.join(empty) if empty else ''}"
        return CheckResult(name="smoke", result="fail", reason=reason, figures=figures)
    if broken:
        reason = f"the answer to the example request is not a number: {', '.join(broken)}"
        return CheckResult(name="smoke", result="fail", reason=reason, figures=figures)
    return CheckResult(name="smoke", result="pass", reason="it answers its example request", figures=figures)


def _sentence(source: Mapping[str, Any], fallback: str) -> str:
    error = source.get("error")
    return str(error).strip().rstrip(".") if error else fallback


def _leaves(data: Any) -> Iterator[Any]:
    if isinstance(data, list | tuple):
        for item in data:
            yield from _leaves(item)
    else:
        yield data


def _is_broken(leaf: Any) -> bool:
    return leaf is None or (isinstance(leaf, float) and not math.isfinite(leaf))
