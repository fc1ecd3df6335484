"""What a new version of a model changes: its figures, its answers, and what it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from gitops_ml.core.pull_request.facts import ModelFacts
from gitops_ml.core.pull_request.markdown import bar_chart, code, details, prose, table
from gitops_ml.core.verification.model_difference import Difference, Pair, Predictions, change_text, value_text
from gitops_ml.core.verification.verdict import CheckResult

_SLICES, _BARS = 12, 8
_PAIRS, _NAMES = 40, 8


class ModelSection(NamedTuple):
    """A model's part of the comment, as Markdown, the most important first.

    Args:
        title: the model and its versions.
        judgement: whether the new version is better or worse, in half a sentence; empty where that is not known.
        headline: the sentence that says how the answers change.
        metrics: the table of metrics on the same rows.
        slices: where the answers change most.
        sources: parameters, data, code and dependencies, and the metrics that each version recorded.
    """

    title: str
    judgement: str
    headline: str
    metrics: str
    slices: str
    sources: str


def model_section(facts: ModelFacts) -> ModelSection:
    """Describe a model whose version changes."""
    title = f"{code(facts.model)} {code(facts.before, 40)} → {code(facts.after, 40)}"
    difference = facts.difference
    if difference is None:
        return ModelSection(title, "", f"The two versions were not compared: {prose(facts.error)}", "", "", "")
    predictions = difference.predictions
    if predictions is None:
        headline = f"The answers were not compared: {prose(difference.unanswered)}"
        return ModelSection(title, "", headline, "", "", _sources(difference))
    return ModelSection(
        title=title,
        judgement=_judgement(predictions.checks),
        headline=_headline(predictions),
        metrics=_metrics(predictions.checks),
        slices=_slices(predictions),
        sources=_sources(difference),
    )


def is_worse(facts: ModelFacts) -> bool:
    """Whether the new version is surely worse by a metric on the same rows."""
    predictions = facts.difference.predictions if facts.difference else None
    return predictions is not None and bool(_worse_metrics(predictions.checks))


def _worse_metrics(checks: Sequence[CheckResult]) -> list[str]:
    return [check.name.removeprefix("holdout ") for check in checks if (gain := _gain(check)) and gain[1] < 0]


def _judgement(checks: Sequence[CheckResult]) -> str:
    """What the paired intervals say together. A metric whose interval holds 0 says nothing."""
    ends = {check.name.removeprefix("holdout "): _gain(check) for check in checks}
    better = [code(name) for name, gain in ends.items() if gain and gain[0] > 0]
    worse = [code(name) for name in _worse_metrics(checks)]
    if worse:
        return f"**is worse** on held-out rows ({', '.join(worse)})" + (
            f", better by {', '.join(better)}" if better else ""
        )
    if better:
        return f"is better on held-out rows ({', '.join(better)})"
    return "is not surely better or worse on held-out rows" if any(ends.values()) else ""


def _gain(check: CheckResult) -> tuple[float, float] | None:
    low, high = check.figures.get("gain_low"), check.figures.get("gain_high")
    return (low, high) if isinstance(low, float | int) and isinstance(high, float | int) else None


def _headline(predictions: Predictions) -> str:
    rows = f"the {predictions.rows:,} held-out rows of {code(predictions.data)}"
    if predictions.flips is None:
        shift = "" if predictions.shift is None else f", {predictions.shift:+.4g} on average"
        return f"On {rows}, answers differ by {predictions.change:.4g}{shift}."
    if not predictions.flips:
        return f"On {rows}, no answer flips."
    judged = ""
    if predictions.right is not None and predictions.wrong is not None:
        judged = f": **{predictions.right:,} become right, {predictions.wrong:,} become wrong**"
    return f"On {rows}, {predictions.flips:,} answers flip ({predictions.change:.2%}){judged}."


def _metrics(checks: Sequence[CheckResult]) -> str:
    """The table of metrics, each with the paired interval of its gain; the reason where nothing could be scored."""
    rows, reasons = [], []
    for check in checks:
        gain = _gain(check)
        if gain:
            rows.append((code(check.name.removeprefix("holdout ")), *_figures(check), _reading(*gain)))
        else:
            reasons.append(f"Not scored: {prose(check.reason)}.")
    head = ("Metric, same rows for both", "Before", "After", "Gain (95 %)", "Reading")
    return "\n\n".join([*([table(head, rows, numbers=(1, 2, 3))] if rows else []), *reasons])


def _figures(check: CheckResult) -> tuple[str, str, str]:
    figures = {key: value for key, value in check.figures.items() if isinstance(value, float | int)}
    gain = f"{figures['gain_low']:+.4f} to {figures['gain_high']:+.4f}"
    return f"{figures['incumbent']:.4f}", f"{figures['candidate']:.4f}", gain


def _reading(low: float, high: float) -> str:
    if low > 0:
        return "better"
    if high < 0:
        return "**worse**"
    return "the same" if low == high == 0 else "too close to tell"


def _slices(predictions: Predictions) -> str:
    slices = [part for part in predictions.slices if part.change > 0][:_SLICES]
    if not slices:
        return ""
    classifies = predictions.flips is not None
    unit = "answers that flip, %" if classifies else "mean difference"
    bars = [(f"{part.column} {part.value}", part.change * (100 if classifies else 1)) for part in slices[:_BARS]]
    rows = [
        (
            code(part.column),
            code(part.value),
            f"{part.rows:,}",
            f"{part.change:.1%}" if classifies else f"{part.change:.4g}",
            "-" if part.shift is None else f"{part.shift:+.3f}",
        )
        for part in slices
    ]
    head = ("Column", "Value", "Rows", "Change", "After minus before")
    body = f"{bar_chart('Where answers change most', unit, bars)}\n\n{table(head, rows, numbers=(2, 3, 4))}"
    first = slices[0]
    change = f"{first.change:.1%} of answers flip" if classifies else f"{first.change:.4g} on average"
    return details(f"Where answers change most: {first.column} {first.value} ({change})", body)


def _sources(difference: Difference) -> str:
    parts = [
        _pairs("Parameters", "params", difference.params, difference),
        _pairs("Data", "data", difference.data, difference),
        *(_file_names(path, kinds) for path, kinds in difference.files.items()),
        _pairs("Code", "code", difference.code, difference),
        _pairs("Dependencies", "dependencies", difference.dependencies, difference),
        _pairs("Recorded metrics, each version on its own rows", "metrics", difference.metrics, difference),
    ]
    named = {
        "parameter": difference.params,
        "data": difference.data,
        "code": difference.code,
        "dependency": difference.dependencies,
    }
    counts = ", ".join(f"{word}: {len(pairs)}" for word, pairs in named.items() if pairs) or "nothing"
    return details(f"What changed in how it was made ({counts})", "\n\n".join(filter(None, parts)))


def _pairs(title: str, field: str, pairs: Mapping[str, Pair], difference: Difference) -> str:
    if not pairs:
        return f"{title}: {'neither has any' if field in difference.absent else 'the same'}."
    rows = [(code(key), _shown(a), _shown(b), change_text(a, b) or "-") for key, (a, b) in list(pairs.items())[:_PAIRS]]
    more = f"\n\nand {len(pairs) - _PAIRS:,} more" if len(pairs) > _PAIRS else ""
    return f"{title}:\n\n{table(('Name', 'Before', 'After', 'Change'), rows)}{more}"


def _shown(value: Any) -> str:
    return "-" if value is None else code(value_text(value))


def _file_names(path: str, kinds: Mapping[str, Sequence[str]]) -> str:
    lines = []
    for kind, names in kinds.items():
        more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
        lines.append(f"{code(path)}: {kind} {', '.join(code(name) for name in names[:_NAMES])}{more}")
    return "; ".join(lines)
