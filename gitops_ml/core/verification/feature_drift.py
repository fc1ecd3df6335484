"""Live inputs against the training data: has what users ask moved away from what the model has learnt from?

Advisory: drift hits candidate and incumbent alike, so it is no reason to prefer one to the other. It is a reason to
train again.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

import msgspec

from gitops_ml.artifacts.manifest import MALFORMED
from gitops_ml.core.declaration.schema import DriftCheck
from gitops_ml.core.verification.psi import FeatureDrift, population_stability
from gitops_ml.core.verification.samples import Samples
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result
from gitops_ml.errors import InputError

ALPHA = 0.01
"""The chance, over all features together, that one is named although none has moved (Bonferroni)."""
NAMED = 5
_MISSING, _OTHER = "missing", "other"


class Numbers(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="number"):
    """A feature's histogram: `edges` between bins; a value equal to an edge belongs to the bin above it."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int = 0

    def expected(self) -> dict[str, int]:
        """The training rows in each bin."""
        return _filled({str(n): count for n, count in enumerate(self.counts)} | {_MISSING: self.missing})

    def actual(self, values: Iterable[Any]) -> dict[str, int]:
        """Live values in the same bins; what is no number is missing."""
        found: dict[str, int] = {}
        for value in values:
            number = isinstance(value, int | float) and math.isfinite(value)
            name = str(bisect_right(self.edges, value)) if number else _MISSING
            found[name] = found.get(name, 0) + 1
        return found


class Categories(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="category"):
    """A feature's most frequent categories; `other` counts the rest."""

    counts: dict[str, int]
    other: int = 0
    missing: int = 0

    def expected(self) -> dict[str, int]:
        """The training rows of each category."""
        named = {f"={name}": count for name, count in self.counts.items()}
        return _filled(named | {_OTHER: self.other, _MISSING: self.missing})

    def actual(self, values: Iterable[Any]) -> dict[str, int]:
        """Live values by the same categories."""
        found: dict[str, int] = {}
        for value in values:
            name = _MISSING if value is None else f"={value}" if str(value) in self.counts else _OTHER
            found[name] = found.get(name, 0) + 1
        return found


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """reference.json of a model artifact: its training inputs, feature by feature."""

    rows: int
    features: dict[str, Numbers | Categories]


def parse_reference(content: bytes) -> Reference:
    """reference.json as a `Reference`. Raises `InputError`."""
    try:
        return msgspec.json.decode(content, type=Reference)
    except MALFORMED as error:
        raise InputError("reference.json of the model cannot be read", why=str(error), fix="dvc repro train") from error


def judge_drift(spec: DriftCheck, reference: Reference | None, samples: Samples) -> CheckResult:
    """The population stability index of every feature, the farthest first.

    `fail`, which is advice here, names the features whose index exceeds both `warn` and what chance alone reaches.
    """
    figures: dict[str, Figure] = {"rows": samples.rows, "seen": samples.seen}
    if reference is None:
        return _result("inconclusive", "the model stores no reference of its training data", figures)
    figures |= {"from": samples.from_, "to": samples.to, "training_rows": reference.rows, "warn": spec.warn}
    if samples.rows < spec.min_rows:
        off = " (the record is off)" if not samples.capacity else ""
        return _result("inconclusive", f"{samples.rows} live rows{off}, and {spec.min_rows} are needed", figures)
    found = _drifts(reference, samples)
    if not found:
        return _result("inconclusive", "the model's reference holds too few rows, or none of its inputs", figures)
    ranked = sorted(found.items(), key=lambda item: (-item[1].index, item[0]))
    figures |= {f"psi {name}": round(drift.index, 4) for name, drift in ranked[:NAMED]}
    moved = [(n, d) for n, d in ranked if d.index >= spec.warn and d.beyond_chance]
    if moved:
        said = ", ".join(f"{name} {drift.index:.2f}" for name, drift in moved[:NAMED])
        rest = f" and {len(moved) - NAMED} more" if len(moved) > NAMED else ""
        return _result("fail", f"{len(moved)} of {len(found)} features have moved: {said}{rest}", figures)
    name, farthest = ranked[0]
    return _result("pass", f"no feature has moved; the farthest is {name}, index {farthest.index:.2f}", figures)


def _drifts(reference: Reference, samples: Samples) -> dict[str, FeatureDrift]:
    alpha = ALPHA / max(1, len(reference.features))
    found: dict[str, FeatureDrift] = {}
    for tensor in samples.inputs:
        known = reference.features.get(tensor.name)
        if known is None or len(tensor.data) != samples.rows:
            continue
        drift = population_stability(known.expected(), known.actual(tensor.data), alpha)
        if drift:
            found[tensor.name] = drift
    return found


def _filled(counts: dict[str, int]) -> dict[str, int]:
    """Without the bins that hold nothing: they would only add to what chance reaches."""
    return {name: count for name, count in counts.items() if count}


def _result(result: Result, reason: str, figures: dict[str, Figure]) -> CheckResult:
    return CheckResult(name="drift", result=result, reason=reason, figures=figures, advisory=True)
