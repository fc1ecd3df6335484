"""The result of one check, and the verdict of all checks together.

A check gives pass, fail or inconclusive, with one sentence and the figures that decided it. One rule, `overall`, makes
the verdict, so that 'not enough evidence' never counts as success.
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


def judge_ready(target: Mapping[str, Any]) -> CheckResult:
    """Judge whether the candidate is ready and is what was declared, from one target of a probe's result.

    Ready means that its own metadata names the expected version and digest. An HTTP status of 200 is not enough.
    """
    ready_seconds = target.get("ready_seconds")
    figures: dict[str, Figure] = {"ready_seconds": ready_seconds}
    if target.get("ready") is True:
        after = f" after {ready_seconds:.1f} s" if isinstance(ready_seconds, int | float) else ""
        return CheckResult(name="ready", result="pass", reason=f"its metadata is as declared{after}", figures=figures)
    return CheckResult(name="ready", result="fail", reason=_sentence(target, "it never became ready"), figures=figures)


def judge_smoke(target: Mapping[str, Any]) -> CheckResult:
    """Judge whether the candidate answers its model's stored example with usable values.

    A candidate that is not ready fails. A model that stores no example is inconclusive.

    Args:
        target: one target of a probe's result.
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
