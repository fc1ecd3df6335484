"""Short constructors of what a journal says: the entries of rollouts, and whole rollouts."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gitops_ml.core import rollout
from gitops_ml.core.generation import Generation
from gitops_ml.core.verdict import CheckResult, Verdict
from tests.unit.builders import wanted


def attempt_id(of: Generation) -> str:
    return f"attempt-{of.deployment}-{of.version}"


def intent(
    of: Generation, incumbent: Generation | None = None, *, strategy: str = "blue-green", boot: bool = False
) -> rollout.Intent:
    unbuilt = msgspec.structs.replace(of, image_id=None)
    key = wanted(of.version, of.deployment, of=of).key
    return rollout.Intent(
        at="2026-11-23T08:00:00+00:00",
        attempt=attempt_id(of),
        generation=unbuilt,
        incumbent=incumbent,
        strategy=strategy,
        key="boot" if boot else key,
        boot=boot,
    )


def built(of: Generation) -> rollout.Built:
    return rollout.Built(
        at="2026-11-23T08:00:10+00:00",
        attempt=attempt_id(of),
        deployment=of.deployment,
        image_id=of.image_id or "",
    )


def judged(of: Generation, verdict: Verdict = "Verified", reason: str = "it answers") -> rollout.Judged:
    results = {"Verified": "pass", "Failed": "fail"}
    check = msgspec.convert(
        {"name": "smoke", "result": results.get(verdict, "inconclusive"), "reason": reason}, CheckResult
    )
    return rollout.Judged(
        at="2026-11-23T08:00:20+00:00",
        attempt=attempt_id(of),
        deployment=of.deployment,
        verdict=verdict,
        checks=(check,),
    )


def settled(of: Generation, outcome: rollout.Outcome = "promoted") -> rollout.Settled:
    return rollout.Settled(
        at="2026-11-23T08:00:30+00:00", attempt=attempt_id(of), deployment=of.deployment, outcome=outcome
    )


def published(*of: Generation) -> rollout.Published:
    return rollout.Published(at="2026-11-23T08:00:40+00:00", attempts=tuple(attempt_id(g) for g in of), commit="f" * 40)


def promoted(of: Generation, incumbent: Generation | None = None) -> list[rollout.Entry]:
    """The whole of a rollout that went well, and its record in Git."""
    return [intent(of, incumbent), built(of), judged(of), settled(of), published(of)]


def failed(
    of: Generation, incumbent: Generation | None = None, outcome: rollout.Outcome = "failed"
) -> list[rollout.Entry]:
    """The whole of a rollout that did not, and its record in Git."""
    verdict: Verdict = "Failed" if outcome == "failed" else "Inconclusive"
    return [intent(of, incumbent), built(of), judged(of, verdict), settled(of, outcome), published(of)]


def files(entries: Iterable[rollout.Entry]) -> dict[str, bytes]:
    """Entries as the journal's files."""
    return {f"{n:010d}.json": rollout.encode(entry) for n, entry in enumerate(entries, 1)}
