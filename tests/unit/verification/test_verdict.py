"""Results of checks and their verdict: inconclusive is never a pass."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gitops_ml.core.verification.probe_result import TargetResult, read_results
from gitops_ml.core.verification.verdict import CheckResult, alpha_per_test, judge_ready, judge_smoke, overall

READY: dict[str, Any] = {"ready": True, "ready_seconds": 1.25, "error": None}


def _check(result: Any) -> CheckResult:
    return CheckResult(name="smoke", result=result, reason="because")


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ([], "Unverified"),
        (["pass"], "Verified"),
        (["pass", "inconclusive"], "Inconclusive"),
        (["inconclusive", "fail", "pass"], "Failed"),
    ],
)
def test_the_verdict_of_all_checks(results: list[str], verdict: str) -> None:
    assert overall(map(_check, results)) == verdict


def test_alpha_is_shared() -> None:
    assert alpha_per_test(0.05, 2) == 0.025 and alpha_per_test(0.05, 0) == 0.05


def test_a_result_survives_the_journal() -> None:
    check = CheckResult(
        name="holdout",
        result="pass",
        reason="r",
        figures={"rows": 3, "gain": -0.1, "classes": ["0"], "max": None},
    )
    assert msgspec.json.decode(msgspec.json.encode(check), type=CheckResult) == check


@pytest.mark.parametrize(
    ("target", "result", "reason"),
    [
        (READY, "pass", "its metadata is as declared after 1.2 s"),
        (
            {"ready": False, "error": "it names digest md5:b, not md5:a."},
            "fail",
            "it names digest md5:b, not md5:a",
        ),
        ({"ready": False, "error": None}, "fail", "it never became ready"),
        ({}, "fail", "it never became ready"),
    ],
)
def test_readiness_is_judged_by_metadata(target: dict[str, Any], result: str, reason: str) -> None:
    check = judge_ready(read_results({"candidate": target})["candidate"])
    assert (check.result, check.reason) == (result, reason)


@pytest.mark.parametrize(
    ("smoke", "result", "reason"),
    [
        (
            {"ok": True, "seconds": 0.01, "outputs": {"predict": [1]}},
            "pass",
            "it answers its example request",
        ),
        ({"ok": False, "error": "HTTP 500"}, "fail", "HTTP 500"),
        ({"ok": True, "outputs": {}}, "fail", "the answer to the example request holds no data"),
        (
            {"ok": True, "outputs": {"predict": []}},
            "fail",
            "the answer to the example request holds no data: predict",
        ),
        (
            {"ok": True, "outputs": {"predict": [1], "predict_proba": [[0.5, float("nan")]]}},
            "fail",
            "the answer to the example request is not a number: predict_proba",
        ),
        (
            {"ok": True, "outputs": {"p": [None]}},
            "fail",
            "the answer to the example request is not a number: p",
        ),
        (None, "inconclusive", "the model stores no example request"),
    ],
)
def test_smoke_is_judged_by_the_answer(smoke: dict[str, Any] | None, result: str, reason: str) -> None:
    check = judge_smoke(read_results({"candidate": {**READY, "smoke": smoke}})["candidate"])
    assert (check.result, check.reason) == (result, reason)


def test_smoke_fails_if_the_candidate_is_not_ready() -> None:
    assert judge_smoke(TargetResult(error="exited 1")).result == "fail"
