"""What a record says was Verified: which generation has earned a promotion, and which may be gone back to.

It reads the record alone. What a host runs at this moment is `status`; what it was judged to be worth is in Git.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from gitops_ml.core.records.record import Record, RecordedAttempt, RecordedGeneration
from gitops_ml.errors import InputError


def promotable(environment: str, deployment: str, record: Record | None) -> tuple[RecordedGeneration, datetime]:
    """The generation that stands Verified there, and since when by the engine's clock.

    It is what serves, and was verified as it is: a failed candidate in the meantime takes nothing from it. Raises
    `InputError` when nothing serves there, or what serves has not been verified.
    """
    where = f"{environment}/{deployment}"
    if record is None or record.serving is None:
        raise InputError(
            f"{where} has nothing to promote",
            why="it has no record" if record is None else "nothing serves there",
            fix=f"gitops-ml sync {environment}",
        )
    serving = record.serving
    mine = [a for a in verified_attempts(record) if a.generation == serving.generation]
    stands = _last_verdict(record, serving) == "Verified"
    if not mine or not stands or record.verified is None or record.verified.generation != serving.generation:
        raise InputError(
            f"{where} {serving.version} is not Verified",
            why=f"its last verdict there is {_last_verdict(record, serving)}",
            fix=f"gitops-ml history {environment} {deployment}; or gitops-ml bump, which asks for no verdict",
        )
    since = next(a for a in record.attempts if a.generation == serving.generation and a.verdict == "Verified")
    return serving, moment(since.settled or since.started)


def require_soaked(environment: str, version: str, since: datetime, soak: timedelta, now: datetime) -> None:
    """Raises `InputError`, which says for how long `version` has to stand yet, when it has not stood for `soak`."""
    left = soak - (now - since)
    if left > timedelta():
        raise InputError(
            f"{version} has to stand in {environment} for {spoken(left)} more",
            why=f"it stands there since {since:%Y-%m-%d %H:%M} UTC, and promotion.soak is {spoken(soak)}",
            fix="promote it then; or gitops-ml bump, which waits for nothing",
        )


def verified_attempts(record: Record) -> Iterator[RecordedAttempt]:
    """The attempts that were promoted as Verified, newest first, without generations that failed since.

    One that failed a review and is Verified again counts again.
    """
    newest: dict[str, str] = {}
    for attempt in record.attempts:
        if attempt.verdict in ("Verified", "Failed"):
            newest.setdefault(attempt.generation, attempt.verdict)
        stands = newest.get(attempt.generation) == "Verified"
        if stands and attempt.outcome == "promoted" and attempt.verdict == "Verified":
            yield attempt


def moment(text: str) -> datetime:
    """A time in a record: ISO 8601, with the engine's nanoseconds or without."""
    return datetime.fromisoformat(text)


def spoken(span: timedelta) -> str:
    """A span of time in two units at most, such as `1 h 20 m`."""
    left = round(span.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def _last_verdict(record: Record, generation: RecordedGeneration) -> str:
    found = [a.verdict for a in record.attempts if a.generation == generation.generation]
    return found[0] if found else "not recorded"
