"""Which picture a check gets. A check of another kind, or without numbers, has none: its figures are a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gitops_ml.core.records.record import RecordedAttempt
from gitops_ml.core.verification.verdict import CheckResult
from gitops_ml.page.pictures.intervals import agreement_picture, holdout_picture, range_picture
from gitops_ml.page.pictures.series import Point, drift_picture, seconds_picture, trend_picture
from gitops_ml.page.pictures.shapes import Picture, Tone, is_drawable, numbers
from gitops_ml.page.pictures.traffic import traffic_picture

HOLDOUT = "holdout "
_SECONDS = {"ready": ("ready_seconds", "time until it was ready"), "smoke": ("seconds", "time to answer the example")}
_TRENDS = 4
"""The most trends on a deployment's page."""
_POINTS = 40
"""The most attempts in a trend."""
VERDICT_TONES: dict[str, Tone] = {"Verified": "good", "Failed": "bad", "Inconclusive": "warn"}


def tone_of(check: CheckResult) -> Tone:
    """How a check's result looks."""
    if check.advisory and check.result == "fail":
        return "warn"
    tones: dict[str, Tone] = {"pass": "good", "fail": "bad", "inconclusive": "warn"}
    return tones[check.result]


def picture_of(check: CheckResult, others: Iterable[RecordedAttempt] = ()) -> Picture | None:
    """The picture of one check.

    Args:
        others: other attempts of the deployment, whose times are shown beside this one's.
    """
    tone = tone_of(check)
    if check.name in _SECONDS:
        key, title = _SECONDS[check.name]
        seconds = numbers(check.figures).get(key)
        return None if seconds is None else seconds_picture(title, seconds, list(_times(others, check.name, key)), tone)
    if check.name.startswith(HOLDOUT):
        return holdout_picture(check.name.removeprefix(HOLDOUT), check.figures, tone)
    if check.name.startswith("prometheus "):
        return range_picture(check.name, check.figures, tone)
    if check.name == "traffic":
        return traffic_picture(check.figures, tone)
    if check.name == "agreement":
        return agreement_picture(check.figures, tone)
    return drift_picture(check.figures) if check.name == "drift" else None


def _times(attempts: Iterable[RecordedAttempt], name: str, key: str) -> Iterator[float]:
    for attempt in attempts:
        for check in attempt.checks:
            if check.name == name and is_drawable(value := check.figures.get(key)):
                yield float(value)  # type: ignore[arg-type]


def trends_of(attempts: Sequence[RecordedAttempt]) -> list[Picture]:
    """The figures of the newest attempts over time: each metric of the hold-out, then the time to become ready.

    Args:
        attempts: the newest first.
    """
    shown = list(reversed(attempts[:_POINTS]))
    names = dict.fromkeys(check.name for attempt in shown for check in attempt.checks if check.name.startswith(HOLDOUT))
    pictures = [
        *(_trend(shown, name, "candidate", name.removeprefix(HOLDOUT)) for name in list(names)[: _TRENDS - 1]),
        _trend(shown, "ready", "ready_seconds", "seconds until ready"),
    ]
    return [picture for picture in pictures if picture]


def _trend(attempts: Sequence[RecordedAttempt], name: str, key: str, title: str) -> Picture | None:
    points: list[Point] = []
    bounds: dict[str, float] = {}
    for attempt in attempts:
        check = next((check for check in attempt.checks if check.name == name), None)
        known = numbers(check.figures) if check else {}
        if key in known:
            value = known[key]
            low, high = known.get(f"{key}_low", value), known.get(f"{key}_high", value)
            tone = VERDICT_TONES.get(attempt.verdict, "plain")
            points.append(Point(attempt.version, value, min(low, value), max(high, value), tone))
            bounds = {bound: known[bound] for bound in ("min", "max") if bound in known and key == "candidate"}
    return trend_picture(title, points, bounds)
