"""The agreement check: how many answers of candidate and incumbent to the same live inputs differ.

Advisory, since a better model disagrees too. It shows how much users would notice, and needs no labels: it finds a
feature that the candidate reads differently.
"""

from __future__ import annotations

import numpy as np

from gitops_ml.artifacts.manifest import Manifest, class_name
from gitops_ml.core.declaration.checks import AgreementCheck
from gitops_ml.core.verification.answers import Answers, NoAnswer
from gitops_ml.core.verification.statistics.wilson import wilson_interval
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result


def judge_agreement(
    spec: AgreementCheck,
    rows: int,
    candidate: Answers | NoAnswer,
    incumbent: Answers | NoAnswer,
    manifest: Manifest,
    kind: str = "live",
) -> CheckResult:
    """The share of answers that differ, with its 95 % interval (Wilson 1927).

    Classes differ if they are not the same class, values if they differ by more than rounding. Assumes that rows are
    independent, which rows of one user are not.

    Args:
        rows: how many rows both models were asked.
        kind: which rows they are, for people.
    """
    figures: dict[str, Figure] = {"rows": rows}
    if rows < spec.min_rows:
        return _result("inconclusive", f"{rows} {kind} rows, and {spec.min_rows} are needed", figures)
    if isinstance(candidate, NoAnswer):
        return _result("inconclusive", f"the candidate gave no answers: {candidate.reason}", figures)
    if isinstance(incumbent, NoAnswer):
        return _result("inconclusive", f"the incumbent gave no answers: {incumbent.reason}", figures)
    if not len(candidate.predicted) == len(incumbent.predicted) == rows:
        counts = f"{len(candidate.predicted)} and {len(incumbent.predicted)}"
        return _result("inconclusive", f"{counts} answers came back for {rows} rows", figures)
    if manifest.task == "regression":
        return _compare_values(candidate, incumbent, figures, kind)
    differing = sum(
        class_name(new) != class_name(old) for new, old in zip(candidate.predicted, incumbent.predicted, strict=True)
    )
    low, high = wilson_interval(differing, rows)
    figures |= {"differing": differing, "share": differing / rows, "share_low": low, "share_high": high}
    new, old = candidate.probability, incumbent.probability
    if new is not None and old is not None and new.shape == old.shape:
        figures["mean_probability_change"] = round(float(abs(new - old).mean()), 6)
    return _result("pass", f"{differing} of {rows} {kind} answers differ ({low:.1%} to {high:.1%})", figures)


def _compare_values(candidate: Answers, incumbent: Answers, figures: dict[str, Figure], kind: str) -> CheckResult:
    new, old = (np.asarray(answers.predicted, dtype=float) for answers in (candidate, incumbent))
    change = np.abs(new - old)
    usable = np.isfinite(change)
    if not usable.all():
        return _result("inconclusive", f"{int((~usable).sum())} of {len(change)} answers are not numbers", figures)
    differing = int((change > 1e-9 * np.maximum(1.0, np.abs(old))).sum())
    figures |= {
        "differing": differing,
        "share": differing / len(change),
        "mean_change": float(change.mean()),
        "largest_change": float(change.max()),
        "spread": float(old.std()),
    }
    reason = f"{differing} of {len(change)} {kind} answers differ, by {change.mean():.4g} on average"
    return _result("pass", reason, figures)


def _result(result: Result, reason: str, figures: dict[str, Figure]) -> CheckResult:
    return CheckResult(name="agreement", result=result, reason=reason, figures=figures, advisory=True)
