"""How states, times and figures are written on the page."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

from gitops_ml.core.records.delivery import moment
from gitops_ml.core.records.record import RecordedAttempt
from gitops_ml.core.records.verified import readable_span
from gitops_ml.core.text import clean_line
from gitops_ml.core.verification.verdict import CheckResult, Figure
from gitops_ml.page.facts import DeploymentFacts, RolloutFacts
from gitops_ml.page.pictures.shapes import Tone

_TONES: dict[str, Tone] = {
    "Synced": "good",
    "Healthy": "good",
    "Verified": "good",
    "pass": "good",
    "promoted": "good",
    "OutOfSync": "warn",
    "Progressing": "warn",
    "Inconclusive": "warn",
    "inconclusive": "warn",
    "Unverified": "warn",
    "advises": "warn",
    "Degraded": "bad",
    "Missing": "bad",
    "Broken": "bad",
    "Error": "bad",
    "Failed": "bad",
    "failed": "bad",
    "fail": "bad",
}
_CALM = ("Synced", "Healthy", "Verified", "Unverified")
_LONGEST = 200
KEPT = 4096
"""Texts that are kept: a site says the same times and names thousands of times."""


def tone(word: str) -> Tone:
    """How a state looks."""
    return _TONES.get(word, "plain")


def troubles(deployment: DeploymentFacts) -> list[str]:
    """What of a deployment a person should look at: the states that are not as they should be."""
    status = deployment.status
    states = (status.sync, status.health, status.verification) if status else (deployment.verdict,)
    calm = {*_CALM, *(("OutOfSync",) if status and status.waiting else ())}
    words = [state for state in states if state not in calm]
    if deployment.broken:
        words.insert(0, "Broken")
    if status and status.error and not words:
        words.append("Error")
    return words


@lru_cache(KEPT)
def when(time: str | datetime | None) -> str:
    """A time for people, in UTC; a record's text that is no time as it stands."""
    parsed = moment(time) if isinstance(time, str) else time
    return f"{parsed:%Y-%m-%d %H:%M}" if parsed else clean_line(str(time or ""), 40)


@lru_cache(KEPT)
def machine_time(time: str | datetime | None) -> str:
    """The same time for programs."""
    parsed = moment(time) if isinstance(time, str) else time
    return f"{parsed:%Y-%m-%dT%H:%M:%SZ}" if parsed else ""


def duration(attempt: RecordedAttempt) -> str:
    """How long a rollout took; empty if its record does not say."""
    started, settled = moment(attempt.started), moment(attempt.settled or "")
    return readable_span(settled - started) if started and settled and settled >= started else ""


def span(value: timedelta | None) -> str:
    """A span of time, or a dash."""
    return readable_span(value) if value is not None else "-"


def figure(value: Figure) -> str:
    """A figure of a check."""
    if isinstance(value, list):
        return clean_line(", ".join(map(figure, value)), _LONGEST)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "none" if value is None else clean_line(str(value), _LONGEST)


@lru_cache(KEPT)
def figure_name(name: str) -> str:
    """The name of a figure as words."""
    return clean_line(name.replace("_", " "), 80)


def outcome(attempt: RecordedAttempt) -> str:
    """What came of a rollout, besides its verdict."""
    over = attempt.incumbent or ""
    if attempt.outcome == "reviewed":
        return "judged again while it served"
    if attempt.outcome == "promoted":
        return f"replaced {over}" if over else "serves as the first"
    return f"did not replace {over}" if over else "does not serve"


def rollout(facts: RolloutFacts) -> str:
    """A rollout under way in one sentence."""
    over = f" over {facts.incumbent}" if facts.incumbent else ""
    share = "" if facts.percent is None else f", {facts.percent} % of the requests"
    return f"{facts.version}, {facts.strategy}{over}{share}"


def decisive(attempt: RecordedAttempt) -> CheckResult | None:
    """The check that decided against a version; None if none did."""
    against = [check for check in attempt.checks if check.prevents_verified]
    return next((check for check in against if check.result == "fail"), against[0] if against else None)
