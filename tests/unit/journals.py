"""Short constructors of what a journal says: the entries of rollouts, and whole rollouts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gitops_ml.core.generation import Generation
from gitops_ml.core.journal.entries import Built, Intent, Judged, Outcome, Recorded, Settled
from gitops_ml.core.journal.fold import Entry, encode
from gitops_ml.core.verification.verdict import CheckResult, Verdict
from tests.unit.builders import wanted


def attempt_id(of: Generation) -> str:
    return f"attempt-{of.deployment}-{of.version}"


def intent(
    of: Generation, incumbent: Generation | None = None, *, strategy: str = "blue-green", boot: bool = False
) -> Intent:
    unbuilt = msgspec.structs.replace(of, image_id=None)
    key = wanted(of.version, of.deployment, of=of).key
    return Intent(
        at="2026-11-23T08:00:00+00:00",
        attempt=attempt_id(of),
        generation=unbuilt,
        incumbent=incumbent,
        strategy=strategy,
        key="boot" if boot else key,
        boot=boot,
    )


def built(of: Generation) -> Built:
    return Built(
        at="2026-11-23T08:00:10+00:00",
        attempt=attempt_id(of),
        deployment=of.deployment,
        image_id=of.image_id or "",
    )


def judged(of: Generation, verdict: Verdict = "Verified", reason: str = "it answers") -> Judged:
    results = {"Verified": "pass", "Failed": "fail"}
    check = msgspec.convert(
        {"name": "smoke", "result": results.get(verdict, "inconclusive"), "reason": reason}, CheckResult
    )
    return Judged(
        at="2026-11-23T08:00:20+00:00",
        attempt=attempt_id(of),
        deployment=of.deployment,
        verdict=verdict,
        checks=(check,),
    )


def settled(of: Generation, outcome: Outcome = "promoted") -> Settled:
    return Settled(at="2026-11-23T08:00:30+00:00", attempt=attempt_id(of), deployment=of.deployment, outcome=outcome)


def recorded(*of: Generation) -> Recorded:
    return Recorded(at="2026-11-23T08:00:40+00:00", attempts=tuple(attempt_id(g) for g in of), commit="f" * 40)


def promoted(of: Generation, incumbent: Generation | None = None) -> list[Entry]:
    """The whole of a rollout that went well, and its record in Git."""
    return [intent(of, incumbent), built(of), judged(of), settled(of), recorded(of)]


def failed(of: Generation, incumbent: Generation | None = None, outcome: Outcome = "failed") -> list[Entry]:
    """The whole of a rollout that did not, and its record in Git."""
    verdict: Verdict = "Failed" if outcome == "failed" else "Inconclusive"
    return [intent(of, incumbent), built(of), judged(of, verdict), settled(of, outcome), recorded(of)]


def files(entries: Iterable[Entry]) -> dict[str, bytes]:
    """Entries as the journal's files."""
    return {f"{n:010d}.json": encode(entry) for n, entry in enumerate(entries, 1)}
