"""What a team's own checks mean: an answer of Prometheus, a page, the end of a command.

Only an answer decides. A server that is down, a query without a series and a check that outlives its own deadline say
nothing of the model, so they are inconclusive: never a pass, and never a reason to roll back.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from gitops_ml.core.declaration.checks import CommandCheck, HttpCheck, OwnCheck, PrometheusCheck
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result

_FIELD = re.compile(r"\$\{([a-z]+)\}")


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged, as a check may name it. `endpoint` is its model's address, without `/infer`."""

    environment: str
    deployment: str
    version: str
    generation: str
    endpoint: str

    def filled_in(self, text: str) -> str:
        """`text` with `${generation}` and the other fields; anything else in braces is left as it is."""
        known = msgspec.structs.asdict(self)
        return _FIELD.sub(lambda found: str(known.get(found[1], found[0])), text)


def name_of(check: OwnCheck) -> str:
    """The name under which a check is reported, such as `prometheus errors`."""
    match check:
        case PrometheusCheck():
            return f"prometheus {check.name}"
        case HttpCheck():
            return f"http {check.name}"
        case CommandCheck():
            return f"command {check.name}"


def silent(check: OwnCheck, why: str) -> CheckResult:
    """A check that gave no answer."""
    return _result(check, "inconclusive", why, {"timeout": check.timeout})


def judge_prometheus(check: PrometheusCheck, answer: Any) -> CheckResult:
    """The answer of Prometheus' HTTP API to an instant query; every value has to keep the bounds.

    Source: https://prometheus.io/docs/prometheus/latest/querying/api/ (format of `/api/v1/query`).
    """
    if not isinstance(answer, Mapping) or answer.get("status") != "success":
        said = answer.get("error") if isinstance(answer, Mapping) else None
        return silent(check, f"Prometheus did not answer the query: {said or 'its answer is none of its API'}")
    try:
        values = _values(answer["data"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        return silent(check, f"the answer cannot be read: {type(error).__name__}: {error}")
    figures: dict[str, Figure] = {"series": len(values), "min": check.min, "max": check.max}
    if not values:
        return _result(check, "inconclusive", "the query has no series", figures)
    low, high = min(values.values()), max(values.values())
    figures |= {"lowest": low, "highest": high}
    if any(math.isnan(value) for value in values.values()):
        return _result(check, "inconclusive", "the query's value is not a number", {**figures, "lowest": None})
    if check.min is not None and low < check.min:
        return _result(check, "fail", f"{low:g} is below min {check.min:g}{_whose(values, low)}", figures)
    if check.max is not None and high > check.max:
        return _result(check, "fail", f"{high:g} is above max {check.max:g}{_whose(values, high)}", figures)
    said = f"{low:g}" if low == high else f"{low:g} to {high:g}"
    return _result(check, "pass", f"{said} keeps its bounds", figures)


def judge_http(check: HttpCheck, status: int, body: str, subject: Subject) -> CheckResult:
    """A page's status and text."""
    figures: dict[str, Figure] = {"status": status, "expected": check.status}
    if status != check.status:
        return _result(check, "fail", f"it answered {status}, not {check.status}", figures)
    wanted = subject.filled_in(check.contains or "")
    if wanted not in body:
        return _result(check, "fail", f"its answer does not hold {wanted!r}", figures)
    return _result(check, "pass", f"it answered {status}", figures)


def judge_command(check: CommandCheck, code: int, output: str) -> CheckResult:
    """A command's exit code; its last line is the reason."""
    last = next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "")
    result: Result = "pass" if code == 0 else "fail" if code == 1 else "inconclusive"
    how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
    return _result(check, result, f"{how}: {last[:200]}" if last else how, {"exit_code": code})


def _values(data: Mapping[str, Any]) -> dict[str, float]:
    """The values of an instant vector by their series, or of a scalar."""
    kind, result = data["resultType"], data["result"]
    if kind == "scalar":
        return {"": float(result[1])}
    if kind != "vector":
        raise ValueError(f"a {kind} is not one value for each series")
    return {str(sorted(dict(series["metric"]).items())): float(series["value"][1]) for series in result}


def _whose(values: Mapping[str, float], value: float) -> str:
    """Which series has this value, where there are several."""
    return f" in {next(name for name, v in values.items() if v == value)}" if len(values) > 1 else ""


def _result(check: OwnCheck, result: Result, reason: str, figures: dict[str, Figure]) -> CheckResult:
    return CheckResult(name=name_of(check), result=result, reason=reason, figures=figures)
