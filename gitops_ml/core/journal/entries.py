"""The entries of an environment's journal: what was intended, judged and settled, each before it was acted upon.

An entry is written once and never changed. Whoever changes these types must still read what older versions wrote: new
fields have defaults, and none is taken away. What entries add up to is in `rollout`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gitops_ml.core.generation import Generation
from gitops_ml.core.verification.sequential import Evidence
from gitops_ml.core.verification.verdict import CheckResult, Verdict

Outcome = Literal["promoted", "failed", "inconclusive", "superseded", "reviewed"]


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """One entry of the journal. `at` is the engine's clock, ISO 8601."""

    at: str


class Intent(JournalEntry, frozen=True, kw_only=True, tag="intent"):
    """A candidate is about to be started. `boot` marks a generation that was verified before, on a blank host."""

    attempt: str
    generation: Generation
    incumbent: Generation | None
    strategy: str
    key: str
    boot: bool = False


class Built(JournalEntry, frozen=True, kw_only=True, tag="built"):
    """The candidate's image is on the engine."""

    attempt: str
    deployment: str
    image_id: str


class Judged(JournalEntry, frozen=True, kw_only=True, tag="judged"):
    """The checks have decided. `logs` are the candidate's last lines where it failed."""

    attempt: str
    deployment: str
    verdict: Verdict
    checks: tuple[CheckResult, ...]
    logs: str = ""


class Cleared(JournalEntry, frozen=True, kw_only=True, tag="cleared"):
    """The checks before any user traffic have passed, and traffic decides next."""

    attempt: str
    deployment: str
    checks: tuple[CheckResult, ...]


class Stepped(JournalEntry, frozen=True, kw_only=True, tag="stepped"):
    """The candidate is about to get the traffic of this stage (a number from 0). `anew`: a test begins with it."""

    attempt: str
    deployment: str
    stage: int
    anew: bool = False


class Counted(JournalEntry, frozen=True, kw_only=True, tag="counted"):
    """What the requests up to `cursor` (a time in the gateway's log) add up to. `lost`: some were never read."""

    attempt: str
    deployment: str
    evidence: Evidence
    cursor: str
    lost: bool = False


class Settled(JournalEntry, frozen=True, kw_only=True, tag="settled"):
    """The rollout is over."""

    attempt: str
    deployment: str
    outcome: Outcome


class Applied(JournalEntry, frozen=True, kw_only=True, tag="applied"):
    """A pass acted on this commit; an older one is refused from now on."""

    commit: str


class Published(JournalEntry, frozen=True, kw_only=True, tag="published"):
    """Git holds the record of these attempts."""

    attempts: tuple[str, ...]
    commit: str


class Retried(JournalEntry, frozen=True, kw_only=True, tag="retried"):
    """A person said `--retry`: the quarantine of a deployment is lifted."""

    deployment: str


class Withdrawn(JournalEntry, frozen=True, kw_only=True, tag="withdrawn"):
    """The deployment is no longer declared, and its containers are gone."""

    deployment: str
