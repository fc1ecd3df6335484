"""Judge a team's own checks: an answer of Prometheus, a page, the exit code of a command.

Only an answer decides. A server that is down, a query without series and a check that times out say nothing about the
model: they are inconclusive, so they neither pass nor cause a rollback.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, OwnCheck, PrometheusCheck
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result

_PLACEHOLDER = re.compile(r"\$\{([a-z]+)\}")


class CheckSubject(msgspec.Struct, frozen=True, kw_only=True):
    """The values of the placeholders in a check. `endpoint` is the model's URL, without `/infer`."""

    environment: str
    deployment: str
    version: str
    generation: str
    endpoint: str

    def filled_in(self, text: str) -> str:
        """Replace `${generation}` and the other placeholders in `text`. Unknown ones stay as they are."""
        values = msgspec.structs.asdict(self)
        return _PLACEHOLDER.sub(lambda match: str(values.get(match[1], match[0])), text)


def reported_name(check: OwnCheck) -> str:
    """The name under which a check is reported, such as `prometheus errors`."""
    match check:
        case PrometheusCheck():
            return f"prometheus {check.name}"
        case HttpCheck():
            return f"http {check.name}"
        case CommandCheck():
            return f"command {check.name}"


def unanswered(check: OwnCheck, reason: str) -> CheckResult:
    """The result of a check that got no answer."""
    return _result(check, "inconclusive", reason, {"timeout": check.timeout})


def judge_prometheus(check: PrometheusCheck, answer: Any) -> CheckResult:
    """Judge a Prometheus answer to an instant query: every value must be within the bounds.

    Args:
        answer: the decoded JSON of `/api/v1/query` (https://prometheus.io/docs/prometheus/latest/querying/api/).
    """
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        error_text = answer.get("error") if isinstance(answer, Mapping) else None
        return unanswered(check, f"Prometheus did not answer the query: {error_text or 'its answer is not of its API'}")
    try:
        values = _values(answer["data"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return unanswered(check, f"the answer cannot be read: {type(error).__name__}: {error}")
    figures: dict[str, Figure] = {"series": len(values), "min": check.min, "max": check.max}
    if not values:
        return _result(check, "inconclusive", "the query has no series", figures)
    low, high = min(values.values()), max(values.values())
    figures |= {"lowest": low, "highest": high}
    if any(math.isnan(value) for value in values.values()):
        return _result(check, "inconclusive", "the query's value is not a number", {**figures, "lowest": None})
    if check.min is not None and low < check.min:
        return _result(check, "fail", f"{low:g} is below min {check.min:g}{_series_of(values, low)}", figures)
    if check.max is not None and high > check.max:
        return _result(check, "fail", f"{high:g} is above max {check.max:g}{_series_of(values, high)}", figures)
    value = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return _result(check, "pass", f"{value} is within the bounds", figures)


def judge_http(check: HttpCheck, status: int, body: str, subject: CheckSubject) -> CheckResult:
    """Judge a page by its status and its text."""
    figures: dict[str, Figure] = {"status": status, "expected": check.status}
    if status != check.status:
        return _result(check, "fail", f"it answered {status}, not {check.status}", figures)
    wanted = subject.filled_in(check.contains or "")
    if wanted not in body:
        return _result(check, "fail", f"its answer does not contain {wanted!r}", figures)
    return _result(check, "pass", f"it answered {status}", figures)


def judge_command(check: CommandCheck, code: int, output: str) -> CheckResult:
    """Judge a command by its exit code. Its last line of output is the reason."""
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    result: Result = "pass" if code == 0 else "fail" if code == 1 else "inconclusive"
    how = f"exit code {code}"
    return _result(check, result, f"{how}: {last[:200]}" if last else how, {"exit_code": code})


def _values(data: Mapping[str, Any]) -> dict[str, float]:
    """The values of an instant vector, by series, or of a scalar."""
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return {"": float(result[1])}
    if kind != "vector":
        raise ValueError(f"a {kind} does not give one value for each series")
    return {str(sorted(dict(series["metric"]).items())): float(series["value"][1]) for series in result}


def _series_of(values: Mapping[str, float], value: float) -> str:
    """The series that has this value, if there are several."""
    return f" in {next(name for name, v in values.items() if v == value)}" if len(values) > 1 else ""


def _result(check: OwnCheck, result: Result, reason: str, figures: dict[str, Figure]) -> CheckResult:
    return CheckResult(name=reported_name(check), result=result, reason=reason, figures=figures)
