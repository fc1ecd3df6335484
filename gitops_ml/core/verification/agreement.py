"""The same live inputs, answered by candidate and incumbent: how many answers differ.

Advisory: a better model also disagrees. It says how much users would notice, and finds what no label can: a feature
that the candidate reads otherwise.
"""

from __future__ import annotations

import numpy as np

from gitops_ml.artifacts.manifest import Manifest, class_name
from gitops_ml.core.declaration.schema import AgreementCheck
from gitops_ml.core.verification.answers import Answers, NoAnswer
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result
from gitops_ml.core.verification.wilson import wilson_interval


def judge_agreement(
    spec: AgreementCheck, rows: int, candidate: Answers | NoAnswer, incumbent: Answers | NoAnswer, manifest: Manifest
) -> CheckResult:
    """The share of differing answers among `rows` recorded ones, with its 95 % interval (Wilson 1927).

    For classes, the answers that are another class; for values, those that differ by more than rounding, and by how
    much. Rows are taken as independent, which those of one user are not.
    """
    figures: dict[str, Figure] = {"rows": rows}
    if rows < spec.min_rows:
        return _result("inconclusive", f"{rows} live rows, and {spec.min_rows} are needed", figures)
    for whose, answers in (("candidate", candidate), ("incumbent", incumbent)):
        if isinstance(answers, NoAnswer):
            return _result("inconclusive", f"the {whose} gave no answers: {answers.reason}", figures)
    assert isinstance(candidate, Answers) and isinstance(incumbent, Answers)
    if not len(candidate.predicted) == len(incumbent.predicted) == rows:
        counts = f"{len(candidate.predicted)} and {len(incumbent.predicted)}"
        return _result("inconclusive", f"{counts} answers came back for {rows} rows", figures)
    if manifest.task == "regression":
        return _values(candidate, incumbent, figures)
    differing = sum(
        class_name(ours) != class_name(theirs)
        for ours, theirs in zip(candidate.predicted, incumbent.predicted, strict=True)
    )
    low, high = wilson_interval(differing, rows)
    figures |= {"differing": differing, "share": differing / rows, "share_low": low, "share_high": high}
    ours, theirs = candidate.probability, incumbent.probability
    if ours is not None and theirs is not None and ours.shape == theirs.shape:
        figures["mean_probability_change"] = round(float(abs(ours - theirs).mean()), 6)
    said = f"{differing} of {rows} live answers differ ({low:.1%} to {high:.1%})"
    return _result("pass", said, figures)


def _values(candidate: Answers, incumbent: Answers, figures: dict[str, Figure]) -> CheckResult:
    ours, theirs = (np.asarray(a.predicted, dtype=float) for a in (candidate, incumbent))
    change = np.abs(ours - theirs)
    usable = np.isfinite(change)
    if not usable.all():
        return _result("inconclusive", f"{int((~usable).sum())} of {len(change)} answers are not numbers", figures)
    differing = int((change > 1e-9 * np.maximum(1.0, np.abs(theirs))).sum())
    figures |= {
        "differing": differing,
        "share": differing / len(change),
        "mean_change": float(change.mean()),
        "largest_change": float(change.max()),
        "spread": float(theirs.std()),
    }
    said = f"{differing} of {len(change)} live answers differ, by {change.mean():.4g} on average"
    return _result("pass", said, figures)


def _result(result: Result, reason: str, figures: dict[str, Figure]) -> CheckResult:
    return CheckResult(name="agreement", result=result, reason=reason, figures=figures, advisory=True)
