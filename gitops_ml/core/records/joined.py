"""The records of one deployment on several hosts, joined to one: what the environment as a whole has.

Each host has a record of its own. Promotion, `rollback` and pull requests ask about the environment.
"""

from __future__ import annotations

from collections.abc import Sequence

from gitops_ml.core.records.record import Record, RecordedGeneration, newest_first
from gitops_ml.core.records.verified import newest_verdicts


def joined(records: Sequence[Record | None]) -> Record:
    """Join the records of all hosts, at least one of which has one.

    What serves, and what was verified last, is what it is on every host; None where hosts differ. The attempts are
    those of all hosts; of a generation that failed on a host last, the failed ones alone.
    """
    present = [record for record in records if record is not None]
    failed = {g for record in present for g, verdict in newest_verdicts(record).items() if verdict == "Failed"}
    attempts = newest_first(
        attempt
        for record in present
        for attempt in record.attempts
        if attempt.generation not in failed or attempt.verdict == "Failed"
    )
    requests = [record.retrain for record in present if record.retrain]
    return Record(
        schema=1,
        deployment=present[0].deployment,
        engine=" ".join(record.engine for record in present),
        verdict=attempts[0].verdict if attempts else "Unverified",
        serving=_common([record.serving if record else None for record in records]),
        verified=_common([record.verified if record else None for record in records]),
        attempts=tuple(attempts),
        retrain=next((r for r in requests if r.state == "requested"), requests[0] if requests else None),
    )


def _common(generations: Sequence[RecordedGeneration | None]) -> RecordedGeneration | None:
    first = generations[0]
    same = first is not None and all(g is not None and g.generation == first.generation for g in generations)
    return first if same else None
