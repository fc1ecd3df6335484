"""Which generations a record calls Verified: those that may be promoted, and those that a rollback may return to.

Only the record is read. It says how a generation was judged; `status` says what a host runs now.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gitops_ml.core.records.record import Record, RecordedAttempt, RecordedGeneration
from gitops_ml.errors import InputError


def promotable(environment: str, deployment: str, record: Record | None) -> tuple[RecordedGeneration, datetime]:
    """The serving generation of `deployment`, if it is Verified, and since when by the engine's clock.

    A candidate that failed since does not matter. Raises `InputError` if nothing serves, or if what serves is not
    Verified.
    """
    where = f"{environment}/{deployment}"
    if record is None or record.serving is None:
        raise InputError(
            f"{where} has nothing to promote",
            why="it has no record" if record is None else "nothing serves there",
            fix=f"gitops-ml sync {environment}",
        )
    serving = record.serving
    promoted = any(a.generation == serving.generation for a in verified_attempts(record))
    verdict = last_verdict(record, serving.generation)
    verified = promoted and verdict == "Verified"
    if not verified or record.verified is None or record.verified.generation != serving.generation:
        raise InputError(
            f"{where} {serving.version} is not Verified",
            why=f"its last verdict there is {verdict or 'not recorded'}",
            fix=f"gitops-ml history {environment} {deployment}",
        )
    since = next(a for a in record.attempts if a.generation == serving.generation and a.verdict == "Verified")
    return serving, parse_time(since.settled or since.started)


def require_soaked(environment: str, version: str, since: datetime, soak: timedelta, now: datetime) -> None:
    """Raise `InputError`, with the time that is left, if `version` has not been Verified for `soak`."""
    left = soak - (now - since)
    if left > timedelta():
        raise InputError(
            f"{version} must stay Verified in {environment} for {readable_span(left)} more",
            why=f"it is Verified there since {since:%Y-%m-%d %H:%M} UTC, and promotion.soak is {readable_span(soak)}",
            fix="promote it then",
        )


def verified_attempts(record: Record) -> Iterator[RecordedAttempt]:
    """The attempts that were promoted as Verified, newest first, without generations that failed since.

    A generation that failed a review and was Verified again is included.
    """
    newest = newest_verdicts(record)
    for attempt in record.attempts:
        stands = newest.get(attempt.generation) == "Verified"
        if stands and attempt.outcome == "promoted" and attempt.verdict == "Verified":
            yield attempt


def newest_verdicts(record: Record) -> dict[str, str]:
    """The newest verdict on each generation, by its fingerprint: `Verified` or `Failed`."""
    newest: dict[str, str] = {}
    for attempt in record.attempts:
        if attempt.verdict in ("Verified", "Failed"):
            newest.setdefault(attempt.generation, attempt.verdict)
    return newest


def serves_verified(record: Record | None, generation: str) -> bool:
    """Whether a generation, by its fingerprint, serves as Verified according to a record."""
    if record is None or record.serving is None or record.serving.generation != generation:
        return False
    return any(attempt.generation == generation for attempt in verified_attempts(record))


def parse_time(text: str) -> datetime:
    """Parse a time of a record: ISO 8601, with or without the engine's nanoseconds."""
    return datetime.fromisoformat(text)


def readable_span(span: timedelta) -> str:
    """A span of time for people, in at most two units, such as `1 h 20 m`."""
    left = round(span.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def last_verdict(record: Record | None, generation: str) -> str | None:
    """The verdict on a generation, by its fingerprint, of its newest attempt; None where there is none."""
    return next((a.verdict for a in (record.attempts if record else ()) if a.generation == generation), None)
