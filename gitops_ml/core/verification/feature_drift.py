"""The drift check: have live inputs moved away from the training data?

Advisory, since drift affects candidate and incumbent alike. It is a reason to train again.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

import msgspec

from gitops_ml.artifacts.decoding import decode
from gitops_ml.artifacts.manifest import MALFORMED
from gitops_ml.core.declaration.checks import DriftCheck
from gitops_ml.core.verification.samples import Samples
from gitops_ml.core.verification.statistics.psi import FeatureDrift, population_stability
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result
from gitops_ml.errors import InputError

FALSE_ALARM = 0.01
"""The chance, over all features together, that one is reported although none has moved (Bonferroni)."""
REPORTED_FEATURES = 5
_MISSING, _OTHER = "missing", "other"


class Numbers(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="number"):
    """A numeric feature's histogram. A value equal to an edge belongs to the bin above it."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0

    def expected(self) -> dict[str, int]:
        """The training rows in each bin."""
        return _filled({str(n): count for n, count in enumerate(self.counts)} | {_MISSING: self.missing})

    def actual(self, values: Iterable[Any]) -> dict[str, int]:
        """The live values in each bin. A value that is no number counts as missing."""
        counts: dict[str, int] = {}
        for value in values:
            number = isinstance(value, int | float) and math.isfinite(value)
            name = str(bisect_right(self.edges, value)) if number else _MISSING
            counts[name] = counts.get(name, 0) + 1
        return counts


class Categories(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="category"):
    """The most frequent categories of a feature. `other` counts the rest."""

    counts: dict[str, int]
    other: int = 0
    missing: int = 0

    def expected(self) -> dict[str, int]:
        """The training rows of each category."""
        named = {f"={name}": count for name, count in self.counts.items()}
        return _filled(named | {_OTHER: self.other, _MISSING: self.missing})

    def actual(self, values: Iterable[Any]) -> dict[str, int]:
        """The live values of each category."""
        counts: dict[str, int] = {}
        for value in values:
            name = _MISSING if value is None else f"={value}" if str(value) in self.counts else _OTHER
            counts[name] = counts.get(name, 0) + 1
        return counts


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """reference.json of a model artifact: the histograms of its training inputs, by feature."""

    rows: int
    features: dict[str, Numbers | Categories]


def parse_reference(content: bytes) -> Reference:
    """Parse reference.json. Raises `InputError` if it is malformed."""
    try:
        return decode(content, Reference)
    except MALFORMED as error:
        raise InputError(
            "reference.json of the model cannot be read",
            why=str(error),
            fix="correct it or train again, then gitops-ml check",
        ) from error


def judge_drift(spec: DriftCheck, reference: Reference | None, samples: Samples) -> CheckResult:
    """Judge the population stability index of every feature.

    Fails (which is advice here) if a feature's index reaches `warn` and exceeds what chance alone reaches. The reason
    names the features that moved most.
    """
    figures: dict[str, Figure] = {"rows": samples.rows, "seen": samples.seen}
    if reference is None:
        return _result("inconclusive", "the model stores no reference of its training data", figures)
    figures |= {"from": samples.from_, "to": samples.to, "training_rows": reference.rows, "warn": spec.warn}
    if samples.rows < spec.min_rows:
        off = " (the record is off)" if not samples.capacity else ""
        return _result("inconclusive", f"{samples.rows} live rows{off}, and {spec.min_rows} are needed", figures)
    drifts = _drifts(reference, samples)
    if not drifts:
        return _result("inconclusive", "the model's reference holds too few rows, or none of its inputs", figures)
    ranked = sorted(drifts.items(), key=lambda item: (-item[1].index, item[0]))
    figures |= {f"psi {name}": round(drift.index, 4) for name, drift in ranked[:REPORTED_FEATURES]}
    moved = [(name, drift) for name, drift in ranked if drift.index >= spec.warn and drift.beyond_chance]
    if moved:
        most = ", ".join(f"{name} {drift.index:.2f}" for name, drift in moved[:REPORTED_FEATURES])
        rest = f" and {len(moved) - REPORTED_FEATURES} more" if len(moved) > REPORTED_FEATURES else ""
        return _result("fail", f"{len(moved)} of {len(drifts)} features have moved: {most}{rest}", figures)
    name, farthest = ranked[0]
    return _result("pass", f"no feature has moved; the farthest is {name}, index {farthest.index:.2f}", figures)


def _drifts(reference: Reference, samples: Samples) -> dict[str, FeatureDrift]:
    alpha = FALSE_ALARM / max(1, len(reference.features))
    drifts: dict[str, FeatureDrift] = {}
    for tensor in samples.inputs:
        feature = reference.features.get(tensor.name)
        if feature is None or len(tensor.data) != samples.rows:
            continue
        drift = population_stability(feature.expected(), feature.actual(tensor.data), alpha)
        if drift:
            drifts[tensor.name] = drift
    return drifts


def _filled(counts: dict[str, int]) -> dict[str, int]:
    """Drop empty bins: they would only raise what chance alone reaches."""
    return {name: count for name, count in counts.items() if count}


def _result(result: Result, reason: str, figures: dict[str, Figure]) -> CheckResult:
    return CheckResult(name="drift", result=result, reason=reason, figures=figures, advisory=True)
