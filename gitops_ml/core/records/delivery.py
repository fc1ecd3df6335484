"""How well an environment delivers, by the figures of DORA (https://dora.dev/guides/dora-metrics/), from its records.

A rollout that fails before any user's request reached it is no failure in DORA's sense: the checks have caught it. So
such rollouts are counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from statistics import median

import msgspec

from gitops_ml.core.planning.next_rollout import BOOT_KEY
from gitops_ml.core.records.record import RecordedAttempt
from gitops_ml.core.records.verified import parse_time

WINDOW = timedelta(days=90)
"""The figures are about the attempts that were settled in this time."""
_WITH_USERS = ("traffic", "alive")
"""Checks of a candidate that serves users' requests."""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery figures of one deployment, or of several together.

    Args:
        deployed: how many rollouts were promoted.
        stopped: how many failed before a user's request reached them.
        inconclusive: how many ended without a verdict.
        failed: how many failed with users: in a canary, or in a later review.
        lead_time: the median time from the commit to the promotion; None without a promotion whose commit is known.
        restore_time: the median time from such a failure until a good version served all users again.
        unrestored: how many failures no promotion has followed yet.
    """

    deployed: int = 0
    stopped: int = 0
    inconclusive: int = 0
    failed: int = 0
    lead_time: timedelta | None = None
    restore_time: timedelta | None = None
    unrestored: int = 0

    @property
    def reached_users(self) -> int:
        """How many rollouts users met: those that were promoted, and canaries that failed."""
        return self.deployed + self.failed

    @property
    def failure_rate(self) -> float | None:
        """The share of changes that reached users and failed; None if none has reached them."""
        return min(1.0, self.failed / self.reached_users) if self.reached_users else None

    def weekly(self) -> float:
        """Promotions in a week."""
        return self.deployed / (WINDOW / timedelta(weeks=1))


def delivery(
    deployments: Iterable[Iterable[RecordedAttempt]], committed: Mapping[str, datetime], now: datetime
) -> Delivery:
    """The figures of the last 90 days.

    The restore time of a canary is that of the whole attempt, which is more than users were exposed. That of a failed
    review ends with the next promotion.

    Args:
        deployments: the attempts of each deployment, in any order.
        committed: when a commit was made, by its id.
    """
    leads: list[timedelta] = []
    restores: list[timedelta] = []
    counts = dict.fromkeys(("deployed", "stopped", "inconclusive", "failed", "unrestored"), 0)
    for attempts in deployments:
        timed = sorted(_settled(attempts), key=lambda entry: entry[0])
        for place, (settled, attempt) in enumerate(timed):
            if not now - WINDOW < settled <= now:
                continue
            kind = _kind(attempt)
            if kind:
                counts[kind] += 1
            if kind == "deployed" and attempt.commit in committed:
                leads.append(max(timedelta(), settled - committed[attempt.commit]))
            if kind == "failed":
                restored = _restored(attempt, settled, timed[place + 1 :])
                counts["unrestored"] += restored is None
                restores += [restored] if restored is not None else []
    return Delivery(**counts, lead_time=_median(leads), restore_time=_median(restores))


def _settled(attempts: Iterable[RecordedAttempt]) -> Iterable[tuple[datetime, RecordedAttempt]]:
    for attempt in attempts:
        settled = moment(attempt.settled or "")
        if settled and attempt.key != BOOT_KEY:
            yield settled, attempt


def moment(text: str) -> datetime | None:
    """A time of a record in UTC; None for what is no time, since a record can be edited."""
    try:
        parsed = parse_time(text)
        return parsed.replace(tzinfo=UTC) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _kind(attempt: RecordedAttempt) -> str | None:
    if attempt.outcome == "reviewed":
        return "failed" if attempt.verdict == "Failed" else None
    if attempt.outcome == "failed":
        return "failed" if any(check.name in _WITH_USERS for check in attempt.checks) else "stopped"
    return {"promoted": "deployed", "inconclusive": "inconclusive"}.get(attempt.outcome)


def _restored(
    attempt: RecordedAttempt, settled: datetime, later: Iterable[tuple[datetime, RecordedAttempt]]
) -> timedelta | None:
    started = moment(attempt.started)
    if attempt.outcome == "failed" and attempt.incumbent and started:
        return max(timedelta(), settled - started)
    promoted = next((at for at, other in later if other.outcome == "promoted"), None)
    return promoted - settled if promoted else None


def _median(spans: list[timedelta]) -> timedelta | None:
    return timedelta(seconds=median(span.total_seconds() for span in spans)) if spans else None
