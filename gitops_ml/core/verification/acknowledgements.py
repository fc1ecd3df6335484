"""The check of a published canary: whether the subscribers in its share have loaded it, and can score with it.

Subscribers repeat what they run, so what they say now decides, and nothing has to be counted over time.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitops_ml.core.declaration.checks import SubscribersCheck
from gitops_ml.core.declaration.values import seconds
from gitops_ml.core.subscribers import Acknowledgement, ChannelReport, latest
from gitops_ml.core.text import clean_line
from gitops_ml.core.verification.verdict import CheckResult, Figure, Result
from gitops_ml.subscriber import slot_of

LIVE_POLLS = 3
"""A subscriber that was silent for longer than so many polls is gone, and nobody waits for it."""


def judge_acknowledgements(
    spec: SubscribersCheck,
    reports: Sequence[ChannelReport],
    generation: str,
    *,
    percent: int,
    last: bool,
    elapsed: float,
    complete: bool = True,
) -> CheckResult:
    """Judge a candidate that `percent` of the subscribers get, by what they say now.

    An acknowledgement of a subscriber outside that share counts for nothing. A channel that was started a moment ago
    does not know all its subscribers yet, so nothing passes before it does. A step that none of them falls into is
    passed over, unless it is the last: some must have loaded the candidate.

    Args:
        reports: of all containers of candidate and incumbent.
        generation: the candidate's.
        last: whether no step follows.
        elapsed: seconds since the candidate was published first.
        complete: whether a report of each such container is here. Without one, nothing passes: subscribers that only
            that container knows would count for nothing.
    """
    patience = LIVE_POLLS * max((report.poll_seconds for report in reports), default=0.0)
    live = [said for said in latest(reports) if said.heard <= patience]
    share = [said for said in live if slot_of(said.subscriber) < percent]
    running = [s for s in share if s.generation == generation]
    erring = [s for s in running if _errs(spec, s)]
    failed = [s for s in share if s.failed == generation] + erring
    loaded = [s for s in running if s not in erring and (spec.max_errors is None or s.scored >= spec.min_scored)]
    figures: dict[str, Figure] = {
        "share": len(share),
        "loaded": len(loaded),
        "failed": len(failed),
        "scored": sum(s.scored for s in running),
        "errors": sum(s.errors for s in running),
        "subscribers": len(live),
        "min_loaded": spec.min_loaded,
        "seconds": elapsed,
    }
    counts = f"{len(loaded)} of {len(share)} subscribers have loaded it"
    if spec.max_errors is not None:
        counts += f" and scored {spec.min_scored} times"

    def result(word: Result, reason: str) -> CheckResult:
        return CheckResult(name="subscribers", result=word, reason=clean_line(reason), figures=figures)

    if len(share) - len(failed) < spec.min_loaded * len(share):
        first = failed[0]
        why = f"{first.errors} errors in {first.scored} scorings" if first in erring else first.error
        return result("fail", f"{counts}, and {len(failed)} could not: {first.subscriber}: {why}")
    known = complete and bool(reports) and all(report.uptime >= 2 * report.poll_seconds for report in reports)
    reason = counts if share else f"none of {len(live)} subscribers is in its {percent}%"
    if known and len(loaded) >= spec.min_loaded * len(share) and (share or not last):
        return result("pass", reason)
    if elapsed >= seconds(spec.timeout):
        reason += f" within {spec.timeout}"
    return result("inconclusive", reason)


def _errs(spec: SubscribersCheck, said: Acknowledgement) -> bool:
    """Whether so many scorings failed that it is too many, even if all others up to `min_scored` succeed."""
    return spec.max_errors is not None and said.errors > spec.max_errors * max(said.scored, spec.min_scored)
